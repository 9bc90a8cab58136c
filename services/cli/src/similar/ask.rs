//! Asking the similarity service.

use std::{path::Path, time::Duration};

use kit::client::Peer;
use proto::similarity::v1::{
    FindSimilarRequest, FindSimilarToImageRequest, SimilarOptions, SimilarPosts,
    find_similar_request, similarity_service_client::SimilarityServiceClient,
};
use tonic::Request;

use crate::{
    connection::{Connection, SIMILARITY, refusal},
    error::Error,
    picture,
    subject::Subject,
};

/// How long an answer may take beside the wait for an embedder.
const LIMIT: Duration = Duration::from_secs(30);

/// The posts most like a post or a picture.
pub(crate) async fn find(
    subject: &Subject,
    options: SimilarOptions,
    connection: &Connection,
) -> Result<SimilarPosts, Error> {
    let peer = connection.similarity()?;
    let wait = options.wait.and_then(|wait| wait.try_into().ok());
    let wait = wait.unwrap_or(Duration::ZERO);
    match subject {
        Subject::File(path) => to_picture(path, options, &peer, wait + picture::LIMIT).await,
        Subject::Post(_) => {
            let number = subject.number(connection).await?;
            to_post(number, options, &peer, wait + LIMIT).await
        }
    }
}

async fn to_post(
    number: u32,
    options: SimilarOptions,
    peer: &Peer,
    limit: Duration,
) -> Result<SimilarPosts, Error> {
    let mut request = Request::new(FindSimilarRequest {
        subject: Some(find_similar_request::Subject::Post(format!(
            "posts/{number}"
        ))),
        options: Some(options),
    });
    request.set_timeout(limit);
    let mut client = SimilarityServiceClient::new(peer.channel());
    match client.find_similar(request).await {
        Ok(answer) => Ok(answer.into_inner().found.unwrap_or_default()),
        Err(status) => Err(refusal(SIMILARITY, peer.address(), &status)),
    }
}

async fn to_picture(
    path: &Path,
    options: SimilarOptions,
    peer: &Peer,
    limit: Duration,
) -> Result<SimilarPosts, Error> {
    picture::check(path)?;
    let mut options = Some(options);
    let pieces = picture::pieces(path)?.map(move |data| FindSimilarToImageRequest {
        options: options.take(),
        data: data.into(),
    });
    let mut request = Request::new(tokio_stream::iter(pieces));
    request.set_timeout(limit);
    let mut client = SimilarityServiceClient::new(peer.channel());
    match client.find_similar_to_image(request).await {
        Ok(answer) => Ok(answer.into_inner().found.unwrap_or_default()),
        Err(status) => Err(refusal(SIMILARITY, peer.address(), &status)),
    }
}
