//! `kumo records put`: stores records in bulk, streamed.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
};

use clap::Args;
use proto::store::v1::{
    PutSourceRecordsRequest, SourceRecord, source_record_service_client::SourceRecordServiceClient,
};
use serde_json::json;

use super::line;
use crate::{
    amount,
    connection::Connection,
    error::Error,
    run::Session,
    selection::BATCH,
    terminal::{Report, Terminal},
};

/// Longest line: a record of 1 MiB with what JSON adds to it.
const LONGEST_LINE: u64 = 4 << 20;
/// Bytes of a batch after which it is sent, whatever its number: a message holds 4 MiB.
const LARGEST_BATCH: usize = 1 << 20;

/// Flags of `kumo records put`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo records put danbooru.jsonl
  zcat danbooru.jsonl.gz | kumo records put -

Each line is an object: {\"post\":\"9e107d9d372bb6826bd81d3542a419d6\",\"source\":\"danbooru\",\"id\":77,
\"tags\":[\"sky\",\"artist:foo\"],\"rating\":\"g\"}. post: number, SHA-256 or MD5. The line is kept verbatim
(or the text under \"raw\"). A record takes the place of the former one of the same post, source and id.
Lines whose post is not in the library are named, and nothing is kept of them.
JSON: {line, unmatched} for each of these; the last line has stored and unmatched, how many.")]
pub(super) struct Flags {
    /// File of records, one JSON object a line; `-` for stdin.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Records that wait to be sent, and the lines they stood on.
#[derive(Debug, Default)]
struct Batch {
    records: Vec<SourceRecord>,
    lines: Vec<u64>,
    bytes: usize,
}

/// What became of the records so far. That nobody reads which of them are of no post is no reason
/// to leave the rest unsent.
#[derive(Debug)]
struct Done<'a> {
    stored: u64,
    unmatched: u64,
    report: Report<'a>,
}

pub(super) async fn run(flags: &Flags, session: &Session) -> Result<(), Error> {
    let mut input: Box<dyn BufRead> = if flags.file.as_os_str() == "-" {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        let file = File::open(&flags.file).map_err(Error::file("open", &flags.file))?;
        Box::new(BufReader::new(file))
    };
    let connection = session.connect()?;
    let terminal = &session.terminal;
    let mut done = Done {
        stored: 0,
        unmatched: 0,
        report: Report::new(terminal),
    };
    let outcome = put_all(&mut *input, flags, &mut done, &connection, session).await;
    if let Err(error) = outcome {
        let stored = amount::of(done.stored, "record");
        terminal.say(&format!("{stored} stored before this:"));
        return Err(error);
    }
    if terminal.json() {
        let object = json!({ "stored": done.stored, "unmatched": done.unmatched });
        done.report.object(&object);
        return done.report.end();
    }
    terminal.line(&format!(
        "{} stored, {} of posts that are not in the library",
        amount::of(done.stored, "record"),
        amount::count(done.unmatched)
    ))
}

async fn put_all(
    input: &mut dyn BufRead,
    flags: &Flags,
    done: &mut Done<'_>,
    connection: &Connection,
    session: &Session,
) -> Result<(), Error> {
    let mut batch = Batch::default();
    let mut number = 0;
    loop {
        number += 1;
        let mut text = String::new();
        let length = Read::take(&mut *input, LONGEST_LINE).read_line(&mut text);
        let length = length.map_err(Error::file("read", &flags.file))?;
        let wrong = |why: &str| Error::Usage(format!("line {number}: {why}"));
        if length as u64 == LONGEST_LINE && !text.ends_with('\n') {
            return Err(wrong("longer than 4 MiB"));
        }
        if !text.trim().is_empty() {
            let record = line::read(text.trim()).map_err(|why| wrong(&why))?;
            batch.bytes += 2 * text.len();
            batch.records.push(record);
            batch.lines.push(number);
        }
        let is_full = batch.records.len() == BATCH || batch.bytes >= LARGEST_BATCH;
        if is_full || (length == 0 && !batch.records.is_empty()) {
            let batch = std::mem::take(&mut batch);
            put(batch, done, connection, &session.terminal).await?;
        }
        if length == 0 {
            return Ok(());
        }
    }
}

async fn put(
    batch: Batch,
    done: &mut Done<'_>,
    connection: &Connection,
    terminal: &Terminal,
) -> Result<(), Error> {
    let mut client = SourceRecordServiceClient::new(connection.store());
    let names: Vec<String> = batch
        .records
        .iter()
        .map(|record| record.post.clone())
        .collect();
    let request = PutSourceRecordsRequest {
        records: batch.records,
    };
    let answer = connection.ask(client.put_source_records(request)).await;
    let answer = answer.map_err(|error| match (error, batch.lines.as_slice()) {
        (
            Error::Refused {
                code,
                reason,
                message,
            },
            [first, .., last],
        ) => Error::Refused {
            code,
            reason,
            message: format!("in lines {first} to {last}: {message}"),
        },
        (
            Error::Refused {
                code,
                reason,
                message,
            },
            [line],
        ) => Error::Refused {
            code,
            reason,
            message: format!("line {line}: {message}"),
        },
        (error, _) => error,
    })?;
    done.stored += answer.stored;
    done.unmatched += answer.unmatched.len() as u64;
    for place in answer.unmatched {
        let place = place as usize;
        let (Some(line), Some(name)) = (batch.lines.get(place), names.get(place)) else {
            continue;
        };
        if terminal.json() {
            let object = json!({ "line": line, "unmatched": name });
            done.report.object(&object);
        } else {
            terminal.say(&format!("line {line}: there is no {name}"));
        }
    }
    Ok(())
}
