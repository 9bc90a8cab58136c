//! Groups of near-duplicates, page by page.

use proto::similarity::v1::{ListDuplicatesRequest, ListDuplicatesResponse};
use tonic::Status;

use super::den::Den;
use super::state::{Picture, State, towards};

/// Ten pairs, each a small picture and a larger one, a picture alone, and two that are blank.
fn pairs(state: &mut State) {
    for pair in 0..10_u8 {
        let mut hash = [0; 32];
        hash[usize::from(pair)..usize::from(pair) + 16].fill(0xa5 ^ (pair << 3));
        for (post, width) in [(2 * pair + 1, 100), (2 * pair + 2, 200)] {
            hash[31] ^= 1;
            let model = "models/1";
            let vector = towards(model, f32::from(pair) / 4.0);
            state.put(
                u32::from(post),
                Picture {
                    vectors: [(model.to_owned(), vector)].into(),
                    hash,
                    detail: 5_000,
                    width,
                    ..Picture::default()
                },
            );
        }
    }
    state.add(50, 0.0);
    for post in [60, 61] {
        state.add(post, 0.0);
        state.change(post, |picture| picture.detail = 10);
    }
}

async fn list(den: &Den, request: ListDuplicatesRequest) -> Result<ListDuplicatesResponse, Status> {
    let listed = den.client().list_duplicates(request).await;
    listed.map(tonic::Response::into_inner)
}

fn after(page_token: &str) -> ListDuplicatesRequest {
    ListDuplicatesRequest {
        page_size: 3,
        page_token: page_token.to_owned(),
        ..ListDuplicatesRequest::default()
    }
}

fn is_refused(listed: Result<ListDuplicatesResponse, Status>) {
    let status = listed.expect_err("is refused");
    let reason = kit::code::reason(&status);
    assert_eq!(reason.as_deref(), Some("PAGE_TOKEN_INVALID"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_come_in_pages_with_the_better_picture_first() {
    let den = Den::new(pairs).await;
    let (mut token, mut keepers) = (String::new(), Vec::new());
    loop {
        let page = list(&den, after(&token)).await.expect("answers");
        assert_eq!((page.total_size, page.near_blank_posts), (10, 2));
        assert!(page.groups.len() <= 3);
        for group in &page.groups {
            assert_eq!(group.keeper, group.posts[0].post);
            assert!(group.posts.iter().all(|post| post.verified), "{group:?}");
            assert_eq!(group.posts[1].distance, 1);
            assert!(!group.keeper_reason.is_empty());
            keepers.push(group.keeper.clone());
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let larger: Vec<String> = (1..=10).map(|pair| format!("posts/{}", 2 * pair)).collect();
    assert_eq!(keepers, larger);

    let blank = ListDuplicatesRequest {
        near_blank: true,
        page_size: 1,
        ..ListDuplicatesRequest::default()
    };
    let page = list(&den, blank.clone()).await.expect("answers");
    assert_eq!(
        (page.groups[0].keeper.as_str(), page.total_size),
        ("posts/60", 2)
    );
    let next = ListDuplicatesRequest {
        page_token: page.next_page_token,
        ..blank
    };
    let page = list(&den, next).await.expect("answers");
    assert_eq!(page.groups[0].keeper, "posts/61");
    assert_eq!(page.next_page_token, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paging_goes_on_when_groups_come_and_go() {
    let den = Den::new(pairs).await;
    let page = list(&den, after("")).await.expect("answers");
    assert_eq!(page.groups.len(), 3);
    // The last group that was seen is no more, nor is the next.
    for post in [6, 8] {
        den.store.state().purge(post);
    }
    den.abreast().await;
    let page = list(&den, after(&page.next_page_token))
        .await
        .expect("answers");
    assert_eq!(page.total_size, 8);
    assert_eq!(page.groups[0].keeper, "posts/10");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_list_or_database_is_refused() {
    let mut den = Den::new(pairs).await;
    let token = list(&den, after(""))
        .await
        .expect("answers")
        .next_page_token;
    is_refused(list(&den, after("nonsense")).await);
    let other = ListDuplicatesRequest {
        max_distance: Some(3),
        ..after(&token)
    };
    is_refused(list(&den, other).await);
    let other = ListDuplicatesRequest {
        near_blank: true,
        ..after(&token)
    };
    is_refused(list(&den, other).await);
    den.store.go();
    den.store.state().replace();
    pairs(&mut den.store.state());
    den.store.come();
    den.abreast().await;
    is_refused(list(&den, after(&token)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_limits_are_refused_and_an_absent_store_is_said() {
    let mut den = Den::new(pairs).await;
    for request in [
        ListDuplicatesRequest {
            max_distance: Some(33),
            ..ListDuplicatesRequest::default()
        },
        ListDuplicatesRequest {
            min_cosine: Some(1.5),
            ..ListDuplicatesRequest::default()
        },
        ListDuplicatesRequest {
            page_size: -4,
            ..ListDuplicatesRequest::default()
        },
    ] {
        let status = list(&den, request).await.expect_err("is refused");
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
    }
    den.store.go();
    let status = list(&den, after(""))
        .await
        .expect_err("nobody knows which to keep");
    assert_eq!(
        kit::code::reason(&status).as_deref(),
        Some("STORE_UNAVAILABLE")
    );
}
