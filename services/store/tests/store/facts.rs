//! What people and boorus say of posts, through the door.

use proto::store::v1::{
    DeleteSourceRecordsRequest, EditPostsRequest, EditedPost, GetPostRequest,
    ListSourceRecordsRequest, ListSourceRecordsResponse, ListSourcesRequest, NewTag, Post,
    PostEdit, PostView, PutSourceRecordsRequest, Rating, SearchPostsRequest, Source, SourceRecord,
    SourceRecordKey, SourceTag, TagCategory, UpdateSourceRequest,
};
use tonic::{Code, Status};

use crate::harness::{Clients, Scene, eventually, picture, refused};

fn change(post: &str, add: &[&str], remove: &[&str]) -> PostEdit {
    let tag = |name: &&str| NewTag {
        name: (*name).to_owned(),
        category: 0,
    };
    PostEdit {
        post: post.to_owned(),
        add: add.iter().map(tag).collect(),
        remove: remove.iter().map(|name| (*name).to_owned()).collect(),
        ..PostEdit::default()
    }
}

async fn edit(to: &mut Clients, edits: Vec<PostEdit>) -> Result<Vec<EditedPost>, Status> {
    let answer = to.edits.edit_posts(EditPostsRequest { edits }).await?;
    Ok(answer.into_inner().posts)
}

async fn get(to: &mut Clients, name: &str) -> Post {
    let request = GetPostRequest {
        name: name.to_owned(),
        view: PostView::Full.into(),
    };
    let answer = to.posts.get_post(request).await.expect("is there");
    answer.into_inner().post.expect("has a post")
}

async fn find(to: &mut Clients, query: &str) -> Vec<String> {
    let request = SearchPostsRequest {
        query: query.to_owned(),
        page_size: 1_000,
        ..SearchPostsRequest::default()
    };
    let answer = to.posts.search_posts(request).await.expect("answers");
    let posts = answer.into_inner().posts.into_iter();
    posts.map(|post| post.name).collect()
}

fn record(post: &str, source: &str, tags: &[&str], rating: Rating) -> SourceRecord {
    let tag = |name: &&str| SourceTag {
        name: (*name).to_owned(),
        category: TagCategory::Artist.into(),
    };
    SourceRecord {
        post: post.to_owned(),
        source: source.to_owned(),
        external_id: "42".to_owned(),
        tags: tags.iter().map(tag).collect(),
        rating: rating.into(),
        raw: b"{\"id\": 42}".to_vec().into(),
        fetch_time: None,
    }
}

async fn put(to: &mut Clients, records: Vec<SourceRecord>) -> Result<(u64, Vec<u32>), Status> {
    let request = PutSourceRecordsRequest { records };
    let answer = to.records.put_source_records(request).await?.into_inner();
    Ok((answer.stored, answer.unmatched))
}

async fn sources(to: &mut Clients) -> Vec<Source> {
    let answer = to.records.list_sources(ListSourcesRequest {}).await;
    answer.expect("answers").into_inner().sources
}

#[tokio::test]
async fn an_edit_is_found_at_once_names_its_editor_and_survives_a_restart() {
    let mut scene = Scene::new().await;
    let posts = scene.to.register(1..=2).await;
    let mut wanted = change(&posts[0], &["My Cat", "a_dog"], &["tag_03"]);
    wanted.rating = Rating::Questionable.into();
    let edited = edit(&mut scene.to, vec![wanted]).await.expect("edits");
    assert_eq!(edited[0].tags, ["a_dog", "my_cat"]);
    assert_eq!(edited[0].rating(), Rating::Questionable);
    assert_eq!(
        find(&mut scene.to, "my_cat rating:q").await,
        [posts[0].clone()]
    );

    let mut scene = scene.restart().await;
    let post = get(&mut scene.to, &posts[0]).await;
    assert_eq!(post.changed_seq, edited[0].changed_seq);
    assert_eq!(post.detail, 65_535, "not measured");
    let said = post.edits.expect("full posts show edits");
    let tags: Vec<(&str, bool)> = said.tags.iter().map(|t| (&*t.name, t.removed)).collect();
    assert_eq!(
        tags,
        [("a_dog", false), ("my_cat", false), ("tag_03", true)]
    );
    assert!(
        said.tags
            .iter()
            .all(|tag| tag.editor == "owner" && tag.time.is_some())
    );
    assert_eq!(
        (said.rating(), &*said.rating_editor),
        (Rating::Questionable, "owner")
    );
    assert_eq!(scene.to.stats().await.edits, 4);

    let reset = PostEdit {
        post: posts[0].clone(),
        reset: vec!["my_cat".to_owned()],
        reset_rating: true,
        ..PostEdit::default()
    };
    let edited = edit(&mut scene.to, vec![reset]).await.expect("edits");
    assert_eq!(
        (edited[0].tags.as_slice(), edited[0].rating()),
        (&["a_dog".to_owned()][..], Rating::Unspecified)
    );
}

#[tokio::test]
async fn bad_edits_are_refused_and_none_of_the_call_is_done() {
    let Scene { mut to, .. } = Scene::new().await;
    let posts = to.register(1..=2).await;
    let before = to.stats().await.seq;
    let both = PostEdit {
        rating: Rating::General.into(),
        reset_rating: true,
        ..change(&posts[1], &[], &[])
    };
    let category = PostEdit {
        add: vec![NewTag {
            name: "tag_01".to_owned(),
            category: TagCategory::Artist.into(),
        }],
        ..change(&posts[1], &[], &[])
    };
    let rated = PostEdit {
        add: vec![NewTag {
            name: "general".to_owned(),
            category: TagCategory::Rating.into(),
        }],
        ..change(&posts[1], &[], &[])
    };
    let no_rating = PostEdit {
        rating: 99,
        ..change(&posts[1], &[], &[])
    };
    for (bad, code, reason) in [
        (
            change("posts/99", &["x"], &[]),
            Code::NotFound,
            "NO_SUCH_POST",
        ),
        (
            change("roots/1", &["x"], &[]),
            Code::InvalidArgument,
            "BAD_RESOURCE_NAME",
        ),
        (
            change(&posts[1], &[], &["blu"]),
            Code::NotFound,
            "NO_SUCH_TAG",
        ),
        (
            change(&posts[1], &["\u{1}"], &[]),
            Code::InvalidArgument,
            "INVALID_VALUE",
        ),
        (
            change(&posts[1], &["x", "X"], &[]),
            Code::InvalidArgument,
            "INVALID_VALUE",
        ),
        (
            change(&posts[0], &["y"], &[]),
            Code::InvalidArgument,
            "INVALID_VALUE",
        ),
        (both, Code::InvalidArgument, "INVALID_FIELD"),
        (category, Code::InvalidArgument, "INVALID_VALUE"),
        (rated, Code::InvalidArgument, "INVALID_FIELD"),
        (no_rating, Code::InvalidArgument, "INVALID_FIELD"),
    ] {
        let good = change(&posts[0], &["good"], &[]);
        let answer = edit(&mut to, vec![good, bad.clone()]).await;
        let message = refused(answer, code, reason);
        if reason == "NO_SUCH_TAG" {
            assert!(message.contains("blu"), "{message}");
        }
    }
    let many = vec![change(&posts[0], &[], &[]); 101];
    refused(edit(&mut to, many).await, Code::InvalidArgument, "TOO_MANY");
    let tags = vec!["x"; 1_001];
    let many = vec![change(&posts[0], &[], &tags)];
    refused(edit(&mut to, many).await, Code::InvalidArgument, "TOO_MANY");
    let now = to.stats().await;
    assert_eq!((now.seq, now.edits), (before, 0));
    assert_eq!(find(&mut to, "good").await, [""; 0]);
}

#[tokio::test]
async fn source_records_are_matched_kept_verbatim_and_forgotten() {
    let Scene { mut to, .. } = Scene::new().await;
    let posts = to.register(1..=3).await;
    let by_hash = format!("posts/sha256:{}", picture(2).sha256);
    let by_md5 = format!("posts/md5:{}", picture(3).md5);
    let unknown = format!("posts/md5:{}", "0".repeat(32));
    let records = vec![
        record(&posts[0], "danbooru", &["ann", "tag_01"], Rating::Sensitive),
        record(&by_hash, "danbooru", &["ann"], Rating::General),
        record(&unknown, "danbooru", &["nobody"], Rating::General),
        record(&by_md5, "gelbooru", &["bob"], Rating::Unspecified),
        record("posts/77", "danbooru", &["nobody"], Rating::General),
    ];
    let tags = to.stats().await.tags;
    let told = put(&mut to, records.clone()).await.expect("puts");
    assert_eq!(told, (3, vec![2, 4]));
    let stats = to.stats().await;
    assert_eq!(stats.tags, tags + 2, "ann and bob, but not nobody");
    let seq = stats.seq;
    assert_eq!(put(&mut to, records).await.expect("puts"), told);
    let stats = to.stats().await;
    assert_eq!(
        (stats.seq, stats.source_records),
        (seq, 3),
        "nothing new was said"
    );
    assert_eq!(find(&mut to, "artist:ann order:oldest").await, posts[..2]);
    assert_eq!(
        find(&mut to, "tag_01 rating:s").await,
        posts[..1],
        "it keeps its category"
    );
    assert_eq!(find(&mut to, "nobody or artist:no*").await, [""; 0]);

    let shown = get(&mut to, &posts[0]).await.source_records;
    assert_eq!((shown.len(), shown[0].raw.len()), (1, 0));
    let listed = list(&mut to, &posts[0], "").await;
    assert_eq!(&listed.records[0].raw[..], b"{\"id\": 42}");
    assert!(listed.next_page_token.is_empty() && listed.records[0].fetch_time.is_some());

    let keys = vec![SourceRecordKey {
        post: posts[0].clone(),
        source: "danbooru".to_owned(),
        external_id: String::new(),
    }];
    let request = DeleteSourceRecordsRequest { keys };
    let deleted = to.records.delete_source_records(request).await;
    assert_eq!(deleted.expect("deletes").into_inner().deleted, 1);
    assert_eq!(find(&mut to, "artist:ann").await, posts[1..2]);
}

#[tokio::test]
async fn records_that_are_large_come_in_answers_that_fit() {
    let Scene { mut to, .. } = Scene::new().await;
    let posts = to.register(1..=1).await;
    let mut records = Vec::new();
    for number in 0..4 {
        let mut large = record(&posts[0], "danbooru", &[], Rating::General);
        large.external_id = number.to_string();
        large.raw = vec![b'x'; 900_000].into();
        records.push(large);
    }
    assert_eq!(put(&mut to, records).await.expect("puts").0, 4);
    let identifiers = |listed: &ListSourceRecordsResponse| -> Vec<String> {
        let records = listed.records.iter();
        records.map(|record| record.external_id.clone()).collect()
    };
    let first = list(&mut to, &posts[0], "").await;
    let second = list(&mut to, &posts[0], &first.next_page_token).await;
    assert_eq!(identifiers(&first), ["0", "1"]);
    assert_eq!(identifiers(&second), ["2", "3"]);
    assert_eq!(second.next_page_token, "");
    let foreign = ListSourceRecordsRequest {
        post: posts[0].clone(),
        page_token: "nonsense".to_owned(),
    };
    let refused = to.records.list_source_records(foreign).await;
    assert_eq!(
        refused.expect_err("is refused").code(),
        Code::InvalidArgument
    );

    // They take several requests to go, and all of them do.
    let keys = vec![SourceRecordKey {
        post: posts[0].clone(),
        source: "danbooru".to_owned(),
        external_id: String::new(),
    }];
    let mut more = Vec::new();
    for number in 4..12 {
        let mut large = record(&posts[0], "danbooru", &[], Rating::General);
        large.external_id = number.to_string();
        large.raw = vec![b'x'; 900_000].into();
        more.push(large);
    }
    assert_eq!(put(&mut to, more).await.expect("puts").0, 8);
    let request = DeleteSourceRecordsRequest { keys };
    let deleted = to.records.delete_source_records(request).await;
    assert_eq!(deleted.expect("deletes").into_inner().deleted, 12);
    assert!(list(&mut to, &posts[0], "").await.records.is_empty());
}

async fn list(to: &mut Clients, post: &str, page_token: &str) -> ListSourceRecordsResponse {
    let request = ListSourceRecordsRequest {
        post: post.to_owned(),
        page_token: page_token.to_owned(),
    };
    let listed = to.records.list_source_records(request).await;
    listed.expect("lists").into_inner()
}

#[tokio::test]
async fn bad_records_are_refused_before_any_is_kept() {
    let Scene { mut to, .. } = Scene::new().await;
    let posts = to.register(1..=1).await;
    let good = record(&posts[0], "danbooru", &["fine"], Rating::General);
    let spoil: [fn(&mut SourceRecord); 7] = [
        |r| r.source = "Dan Booru".to_owned(),
        |r| r.external_id = "x".repeat(201),
        |r| r.raw = vec![0; (1 << 20) + 1].into(),
        |r| r.tags[0].name = " ".to_owned(),
        |r| r.post = "pictures/1".to_owned(),
        |r| r.rating = 77,
        |r| {
            r.fetch_time = Some(prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            });
        },
    ];
    for spoil in spoil {
        let mut bad = good.clone();
        spoil(&mut bad);
        let status = put(&mut to, vec![good.clone(), bad])
            .await
            .expect_err("bad");
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    let many = vec![good; 501];
    refused(put(&mut to, many).await, Code::InvalidArgument, "TOO_MANY");
    assert_eq!(to.stats().await.source_records, 0);
    assert_eq!(sources(&mut to).await, []);
}

#[tokio::test]
async fn a_new_priority_of_a_source_reaches_every_post_by_itself() {
    let Scene { mut to, .. } = Scene::new().await;
    let posts = to.register(1..=450).await;
    for (source, rating) in [("first", Rating::General), ("second", Rating::Explicit)] {
        let all = posts.iter().map(|post| record(post, source, &[], rating));
        put(&mut to, all.collect()).await.expect("puts");
    }
    assert_eq!(find(&mut to, "rating:g").await.len(), 450);
    let update = |name: &str, priority| UpdateSourceRequest {
        name: name.to_owned(),
        priority,
    };
    let answer = to.records.update_source(update("second", 200)).await;
    let source = answer
        .expect("updates")
        .into_inner()
        .source
        .expect("is told");
    assert_eq!((source.priority, source.record_count), (200, 450));
    eventually(
        async || find(&mut to, "rating:e").await.len(),
        |found| *found == 450,
    )
    .await;
    let names: Vec<String> = sources(&mut to).await.into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["second", "first"]);
    let unknown = to.records.update_source(update("third", 1)).await;
    refused(unknown, Code::NotFound, "NO_SUCH_SOURCE");
    let high = to.records.update_source(update("first", 1_001)).await;
    refused(high, Code::InvalidArgument, "INVALID_VALUE");
}
