//! Source records and sources.

use std::collections::BTreeMap;

use prost::Message;
use proto::store::v1::{
    DeleteSourceRecordsRequest, DeleteSourceRecordsResponse, ListSourceRecordsRequest,
    ListSourceRecordsResponse, ListSourcesRequest, ListSourcesResponse, PutSourceRecordsRequest,
    PutSourceRecordsResponse, Source, SourceRecord, SourceTag, UpdateSourceRequest,
    UpdateSourceResponse, source_record_service_server::SourceRecordService,
};
use store_core::{
    Category, PostId, Store,
    source_record::{self, NewRecord, RecordKey},
};
use tonic::{Request, Response, Status};

use super::{Door, at_most, edit, page, post::Wanted, refuse, tag, timestamp, unix_ms};
use crate::Error;

/// Records in one request of a group, tags in all of them, and bytes as received, so that it holds the
/// thread for milliseconds only. A record of more than that goes alone.
const SLICE: usize = 32;
const SLICE_TAGS: usize = 2_000;
const SLICE_BYTES: usize = 1 << 20;
/// Most tags of all records of a call: more than boorus say of so many posts.
const CALL_TAGS: usize = 100_000;
/// Names looked up in one read, a microsecond each.
const LOOKED_UP: usize = 2_000;
/// New tags in one request of a group.
const NEW_TAGS: usize = 500;
/// What a page token of the records of a post is of.
const LIST: [u8; 6] = *b"record";
/// Records of one answer, bytes; one goes in any case.
const LISTED: usize = 2 << 20;
/// Records shown with a post, bytes.
const SHOWN: usize = 256 << 10;

#[tonic::async_trait]
impl SourceRecordService for Door {
    async fn put_source_records(
        &self,
        request: Request<PutSourceRecordsRequest>,
    ) -> Result<Response<PutSourceRecordsResponse>, Status> {
        // All of them are looked at before any of them is kept.
        let records = new_records(request.into_inner().records).map_err(refuse)?;
        Ok(Response::new(
            self.put_records(records).await.map_err(refuse)?,
        ))
    }

    async fn list_source_records(
        &self,
        request: Request<ListSourceRecordsRequest>,
    ) -> Result<Response<ListSourceRecordsResponse>, Status> {
        let ListSourceRecordsRequest {
            post: name,
            page_token,
        } = request.into_inner();
        let post: PostId = kit::id::parse("posts/", &name).map_err(refuse)?;
        let first = match page::Place::read(&page_token).map_err(refuse)? {
            None => 0,
            Some(place)
                if place.list == LIST && place.after < source_record::MAX_PER_POST as u64 =>
            {
                place.after as u32
            }
            Some(_) => return Err(refuse(page::bad(&page_token))),
        };
        let read = self.engine.read(move |store, _| {
            if store.post(post)?.is_none() {
                return Err(store_core::Error::NotFound { noun: "post", name }.into());
            }
            let mut listed = ListSourceRecordsResponse::default();
            let mut bytes = 0;
            for skipped in first.. {
                let Some(record) = store.source_record(post, skipped)? else {
                    break;
                };
                let record = message(store, post, record);
                bytes += record.encoded_len();
                if skipped > first && bytes > LISTED {
                    let next = page::Place {
                        list: LIST,
                        after: skipped.into(),
                    };
                    listed.next_page_token = next.token();
                    break;
                }
                listed.records.push(record);
            }
            Ok(listed)
        });
        Ok(Response::new(read.await.map_err(refuse)?))
    }

    async fn delete_source_records(
        &self,
        request: Request<DeleteSourceRecordsRequest>,
    ) -> Result<Response<DeleteSourceRecordsResponse>, Status> {
        let keys = request.into_inner().keys;
        at_most("keys", keys.len(), source_record::MAX_RECORDS).map_err(refuse)?;
        let keys: Vec<RecordKey> = keys
            .into_iter()
            .map(|key| {
                Ok(RecordKey {
                    post: kit::id::parse("posts/", &key.post)?,
                    source: key.source,
                    external_id: Some(key.external_id).filter(|id| !id.is_empty()),
                })
            })
            .collect::<Result<_, Error>>()
            .map_err(refuse)?;
        let (mut deleted, mut rest) = (0, &keys[..]);
        while !rest.is_empty() {
            let slice = rest[..rest.len().min(SLICE)].to_vec();
            let write = self
                .engine
                .write(move |write, _| write.delete_source_records(&slice));
            let (gone, done) = write.await.map_err(refuse)?;
            deleted += gone;
            rest = &rest[done..];
        }
        Ok(Response::new(DeleteSourceRecordsResponse { deleted }))
    }

    async fn list_sources(
        &self,
        _: Request<ListSourcesRequest>,
    ) -> Result<Response<ListSourcesResponse>, Status> {
        let read = self.engine.read(|store, _| Ok(store.sources_of_records()?));
        let sources = read.await.map_err(refuse)?;
        Ok(Response::new(ListSourcesResponse {
            sources: sources.into_iter().map(source).collect(),
        }))
    }

    async fn update_source(
        &self,
        request: Request<UpdateSourceRequest>,
    ) -> Result<Response<UpdateSourceResponse>, Status> {
        let UpdateSourceRequest { name, priority } = request.into_inner();
        let write = self
            .engine
            .write(move |write, _| write.update_source(&name, priority));
        Ok(Response::new(UpdateSourceResponse {
            source: Some(source(write.await.map_err(refuse)?)),
        }))
    }
}

impl Door {
    async fn put_records(
        &self,
        records: Vec<(Wanted, NewRecord)>,
    ) -> Result<PutSourceRecordsResponse, Error> {
        let count = records.len() as u64;
        let named: Vec<Wanted> = records.iter().map(|(post, _)| *post).collect();
        let found = self.engine.read(move |store, _| {
            named
                .into_iter()
                .map(|post| known(store, post))
                .collect::<Result<Vec<_>, _>>()
        });
        // What is not found gets the number of no post, and comes back as unmatched below.
        let posts = found.await?.into_iter().map(Option::unwrap_or_default);
        let records: Vec<(PostId, NewRecord)> = posts
            .zip(records)
            .map(|(post, (_, record))| (post, record))
            .collect();
        self.make_tags(&records).await?;
        let mut unmatched = Vec::new();
        let mut start = 0;
        while start < records.len() {
            let slice = slice(&records[start..]).to_vec();
            let taken = slice.len();
            let write = self
                .engine
                .write(move |write, now| write.put_source_records(&slice, now));
            let indexes = write.await?.into_iter();
            unmatched.extend(indexes.map(|index| index + start as u32));
            start += taken;
        }
        Ok(PutSourceRecordsResponse {
            stored: count - unmatched.len() as u64,
            unmatched,
        })
    }

    /// Makes the tags of records that will be kept, a few at a time. One that is left over if the
    /// rest fails does no harm.
    async fn make_tags(&self, records: &[(PostId, NewRecord)]) -> Result<(), Error> {
        let mut wanted: BTreeMap<String, Category> = BTreeMap::new();
        for (post, record) in records {
            for (name, category) in record.tags().filter(|_| *post != 0) {
                wanted.entry(name.to_owned()).or_insert(category);
            }
        }
        let wanted: Vec<(String, Category)> = wanted.into_iter().collect();
        for some in wanted.chunks(LOOKED_UP) {
            let mut some = some.to_vec();
            let unknown = self.engine.read(move |store, _| {
                some.retain(|(name, _)| store.tags().find(name).is_none());
                Ok(some)
            });
            for new in unknown.await?.chunks(NEW_TAGS) {
                let new = new.to_vec();
                let write = self.engine.write(move |write, _| {
                    let named: Vec<_> = new.iter().map(|(name, of)| (name.as_str(), *of)).collect();
                    write.create_tags(&named)
                });
                write.await?;
            }
        }
        Ok(())
    }
}

/// The post that is named, if there is one: a number alone may be of none.
fn known(store: &Store, post: Wanted) -> Result<Option<PostId>, Error> {
    match post.find(store)? {
        Some(id) if store.post(id)?.is_some() => Ok(Some(id)),
        _ => Ok(None),
    }
}

/// The first of `records` that go together.
fn slice(records: &[(PostId, NewRecord)]) -> &[(PostId, NewRecord)] {
    let (mut tags, mut bytes) = (0, 0);
    let fits = records.iter().take(SLICE).take_while(|(_, record)| {
        tags += record.tags().len();
        bytes += record.raw_len();
        tags <= SLICE_TAGS && bytes <= SLICE_BYTES
    });
    let count = fits.count().max(1);
    &records[..count]
}

fn new_records(messages: Vec<SourceRecord>) -> Result<Vec<(Wanted, NewRecord)>, Error> {
    at_most("source records", messages.len(), source_record::MAX_RECORDS)?;
    let tags = messages.iter().map(|message| message.tags.len()).sum();
    at_most("tags of all records", tags, CALL_TAGS)?;
    let records = messages.into_iter().enumerate();
    records
        .map(|(index, message)| new_record(&format!("records[{index}]"), message))
        .collect()
}

fn new_record(field: &str, message: SourceRecord) -> Result<(Wanted, NewRecord), Error> {
    let tags = message.tags.into_iter().enumerate().map(|(index, tag)| {
        let field = format!("{field}.tags[{index}].category");
        let category = edit::category(&field, tag.category)?;
        Ok((tag.name, category.unwrap_or(Category::General)))
    });
    let tags = tags.collect::<Result<Vec<_>, Error>>()?;
    let fetched_ms = match message.fetch_time {
        None => None,
        Some(time) => Some(unix_ms(&format!("{field}.fetch_time"), time)?),
    };
    let record = NewRecord::new(
        message.source,
        message.external_id,
        tags,
        edit::rating(&format!("{field}.rating"), message.rating)?,
        message.raw.into(),
        fetched_ms,
    )?;
    Ok((Wanted::read(&message.post)?, record))
}

/// What sources say of a post, without the records themselves.
pub(super) fn messages(store: &Store, post: PostId) -> Result<Vec<SourceRecord>, Error> {
    let mut bytes = 0;
    let mut shown = Vec::new();
    for record in store.source_records(post)? {
        let record = message(store, post, record);
        bytes += record.encoded_len();
        if bytes > SHOWN {
            break;
        }
        shown.push(record);
    }
    Ok(shown)
}

fn message(store: &Store, post: PostId, record: source_record::SourceRecord) -> SourceRecord {
    let table = store.tags();
    let tags = record.tags.iter().filter_map(|&id| table.get(id));
    let mut tags: Vec<SourceTag> = tags
        .map(|tag| SourceTag {
            name: tag.name.to_owned(),
            category: tag::category_message(tag.category).into(),
        })
        .collect();
    tags.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    SourceRecord {
        post: format!("posts/{post}"),
        source: record.source,
        external_id: record.external_id,
        tags,
        rating: edit::rating_message(record.rating).into(),
        raw: record.raw.into(),
        fetch_time: timestamp(record.fetched_ms),
    }
}

fn source(source: source_record::Source) -> Source {
    Source {
        name: source.name,
        priority: source.priority,
        record_count: source.records,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_no_more_tags_than_can_be_looked_at_at_once() {
        let record = |tags| SourceRecord {
            post: "posts/1".to_owned(),
            source: "danbooru".to_owned(),
            tags: vec![
                SourceTag {
                    name: "a".to_owned(),
                    category: 0,
                };
                tags
            ],
            ..SourceRecord::default()
        };
        let mut records =
            vec![record(source_record::MAX_TAGS); CALL_TAGS / source_record::MAX_TAGS];
        let taken = new_records(records.clone()).expect("as many as may be");
        assert_eq!(taken.len(), records.len());
        records.push(record(1));
        let refused = new_records(records).map(|_| ()).expect_err("one too many");
        assert!(refused.to_string().contains("100001"), "{refused}");
    }
}
