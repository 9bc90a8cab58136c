//! The confined child's story: close everything, be told the limits, confine, then serve one
//! picture after another until the client hangs up.

mod socket;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;
use std::{fmt, io};

use crate::confine::{close_other_descriptors, confine};
use crate::error::{Reason, Refusal};
use crate::protocol::{
    Answer, CHUNK_BYTES, HELLO_BYTES, Hello, ORDER_BYTES, PROTOCOL, READY, SETUP_BYTES, Setup,
    decode_order, encode_answer,
};
use crate::render::{Order, RENDER_REVISION, render};
use socket::Socket;

/// Exit code of a command line or a set-up that makes no sense.
const USAGE: u8 = 64;

/// Runs the child on its standard input, which must be the client's socket.
#[must_use]
pub fn run() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| socket::log(&panic)));
    if !Socket::is_standard_input() {
        socket::log(
            &"kumo-renderer is started by the other kumo programs, with a socket as its \
              standard input; there is nothing to do with it by hand",
        );
        return ExitCode::from(USAGE);
    }
    match serve(&mut Socket) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            socket::log(&format_args!("kumo-renderer: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Serves until the client closes its end.
fn serve(socket: &mut Socket) -> io::Result<()> {
    close_other_descriptors()?;
    let mut setup = [0; SETUP_BYTES];
    if !socket.read_or_end(&mut setup)? {
        return Ok(());
    }
    let setup = Setup::decode(&setup).ok_or_else(|| nonsense("set-up"))?;
    let cpu = Duration::from_millis(setup.cpu_milliseconds);
    let hello = Hello {
        protocol: PROTOCOL,
        render_revision: RENDER_REVISION,
        confinement: confine(setup.memory_bytes, cpu)?,
    };
    let hello = hello.encode();
    debug_assert_eq!(hello.len(), HELLO_BYTES);
    socket.write_all(&hello)?;
    loop {
        let mut order = [0; ORDER_BYTES];
        if !socket.read_or_end(&mut order)? {
            return Ok(());
        }
        let (order, size_hint) = decode_order(&order).ok_or_else(|| nonsense("order"))?;
        socket.write_all(&READY)?;
        let answer = match receive(socket, order, size_hint)? {
            Ok(bytes) => guarded(&bytes, order, setup.memory_bytes),
            Err(refusal) => Err(refusal),
        };
        socket.write_all(&encode_answer(&answer))?;
    }
}

fn nonsense(what: &str) -> io::Error {
    io::Error::other(format!("the client sent no {what} of this protocol"))
}

/// Receives all bytes of a picture; reads to the end even when they will be refused, so that
/// client and child stay in step.
fn receive(
    socket: &mut Socket,
    order: Order,
    size_hint: u64,
) -> io::Result<Result<Vec<u8>, Refusal>> {
    let mut bytes = Vec::new();
    let mut refusal = None;
    let hint = usize::try_from(size_hint.min(order.file_bytes)).unwrap_or(0);
    if bytes.try_reserve_exact(hint).is_err() {
        refusal = Some(too_little_memory(hint));
    }
    loop {
        let mut length = [0; 4];
        socket.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length == 0 {
            return Ok(refusal.map_or(Ok(bytes), Err));
        }
        if length > CHUNK_BYTES {
            return Err(nonsense("chunk"));
        }
        if refusal.is_some() {
            bytes = Vec::new();
        } else if (bytes.len() + length) as u64 > order.file_bytes {
            refusal = Some(Refusal::new(
                Reason::TooLarge,
                format!("more than {} bytes", order.file_bytes),
            ));
        } else if bytes.try_reserve(length).is_err() {
            refusal = Some(too_little_memory(bytes.len() + length));
        }
        let from = if refusal.is_some() { 0 } else { bytes.len() };
        bytes.resize(from + length, 0);
        socket.read_exact(&mut bytes[from..])?;
    }
}

fn too_little_memory(bytes: usize) -> Refusal {
    Refusal::new(
        Reason::OutOfMemory,
        format!("no memory for a file of {} MiB", bytes >> 20),
    )
}

/// Renders; a decoder that panics has met a file it was not made for.
fn guarded(bytes: &[u8], order: Order, memory: u64) -> Answer {
    catch_unwind(AssertUnwindSafe(|| render(bytes, order, memory))).unwrap_or_else(|panic| {
        let what: &dyn fmt::Display = if let Some(text) = panic.downcast_ref::<String>() {
            text
        } else if let Some(text) = panic.downcast_ref::<&str>() {
            text
        } else {
            &"for no given reason"
        };
        Err(Refusal::new(
            Reason::Corrupt,
            format!("the decoder gave up: {what}"),
        ))
    })
}
