//! Asking the store, without async in the tests.

use std::{future::Future, path::Path, time::Duration};

use kit::{Credential, client::Peer};
use proto::store::v1::{
    AllowRejectedRequest, EditPostsRequest, GetPostRequest, GetStatsRequest, GetStatsResponse,
    ListLocationsRequest, ListNodesRequest, ListRootsRequest, ListTasksRequest, NewTag, Node, Post,
    PostEdit, PostView, PurgePostsRequest, RestorePostsRequest, Root, SearchPostsRequest, Task,
    TaskState, TrashPostsRequest, admin_service_client::AdminServiceClient,
    edit_service_client::EditServiceClient, location_service_client::LocationServiceClient,
    node_service_client::NodeServiceClient, post_service_client::PostServiceClient,
    task_service_client::TaskServiceClient, trash_service_client::TrashServiceClient,
};
use tokio::runtime::Runtime;
use tonic::Status;

/// A client of the store. Every answer is there within ten seconds, or is an error.
#[derive(Debug)]
pub struct Store {
    runtime: Runtime,
    peer: Peer,
}

impl Store {
    pub(super) fn new(address: &str, data: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let credential = Credential::local(data).expect("the local token can be read");
        let peer = {
            let _inside = runtime.enter();
            Peer::new(address, &credential).expect("the address is one")
        };
        Self { runtime, peer }
    }

    fn ask<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, String> {
        self.runtime.block_on(async {
            match tokio::time::timeout(Duration::from_secs(10), call).await {
                Err(_) => Err("no answer within 10 s".to_owned()),
                Ok(answer) => answer
                    .map(tonic::Response::into_inner)
                    .map_err(|status| status.to_string()),
            }
        })
    }

    /// Counts.
    ///
    /// # Errors
    /// With the status as text.
    pub fn stats(&self) -> Result<GetStatsResponse, String> {
        self.ask(AdminServiceClient::new(self.peer.channel()).get_stats(GetStatsRequest {}))
    }

    /// All posts that match, in order.
    ///
    /// # Errors
    /// With the status as text.
    pub fn search(&self, query: &str) -> Result<Vec<Post>, String> {
        let mut posts = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = SearchPostsRequest {
                query: query.to_owned(),
                page_size: 500,
                page_token,
                view: PostView::Full.into(),
                within: None,
            };
            let page =
                self.ask(PostServiceClient::new(self.peer.channel()).search_posts(request))?;
            posts.extend(page.posts);
            if page.next_page_token.is_empty() {
                return Ok(posts);
            }
            page_token = page.next_page_token;
        }
    }

    /// One post with everything.
    ///
    /// # Errors
    /// With the status as text.
    pub fn post(&self, name: &str) -> Result<Post, String> {
        let request = GetPostRequest {
            name: name.to_owned(),
            view: PostView::Full.into(),
        };
        let answer = self.ask(PostServiceClient::new(self.peer.channel()).get_post(request))?;
        answer
            .post
            .ok_or_else(|| "an answer without a post".to_owned())
    }

    /// Failed tasks and files that failed at ingest.
    ///
    /// # Errors
    /// With the status as text.
    pub fn failed(&self) -> Result<Vec<Task>, String> {
        let request = ListTasksRequest {
            state: TaskState::Failed.into(),
            page_size: 1000,
            page_token: String::new(),
        };
        let answer = self.ask(TaskServiceClient::new(self.peer.channel()).list_tasks(request))?;
        Ok(answer.tasks)
    }

    /// All roots.
    ///
    /// # Errors
    /// With the status as text.
    pub fn roots(&self) -> Result<Vec<Root>, String> {
        let call = LocationServiceClient::new(self.peer.channel());
        Ok(self.ask({ call }.list_roots(ListRootsRequest {}))?.roots)
    }

    /// Locations of a root: display path, sha256, whether present.
    ///
    /// # Errors
    /// With the status as text.
    pub fn locations(&self, root: &str) -> Result<Vec<(Vec<u8>, String, bool)>, String> {
        let request = ListLocationsRequest {
            root: root.to_owned(),
            page_size: 5000,
            page_token: String::new(),
        };
        let call = LocationServiceClient::new(self.peer.channel());
        let page = self.ask({ call }.list_locations(request))?;
        Ok(page
            .locations
            .into_iter()
            .filter_map(|known| {
                let location = known.location?;
                Some((location.path.to_vec(), known.sha256, location.state == 1))
            })
            .collect())
    }

    /// All nodes and watchers.
    ///
    /// # Errors
    /// With the status as text.
    pub fn nodes(&self) -> Result<Vec<Node>, String> {
        let call = NodeServiceClient::new(self.peer.channel());
        Ok(self.ask({ call }.list_nodes(ListNodesRequest {}))?.nodes)
    }

    /// Adds a tag to a post and removes another.
    ///
    /// # Errors
    /// With the status as text.
    pub fn edit(&self, post: &str, add: &str, remove: &str) -> Result<(), String> {
        let edit = PostEdit {
            post: post.to_owned(),
            add: vec![NewTag {
                name: add.to_owned(),
                category: 0,
            }],
            remove: vec![remove.to_owned()],
            ..PostEdit::default()
        };
        let request = EditPostsRequest { edits: vec![edit] };
        self.ask(EditServiceClient::new(self.peer.channel()).edit_posts(request))
            .map(drop)
    }

    /// Puts a post into the trash.
    ///
    /// # Errors
    /// With the status as text.
    pub fn trash(&self, post: &str) -> Result<(), String> {
        let names = vec![post.to_owned()];
        self.ask(
            self.trash_service()
                .trash_posts(TrashPostsRequest { names }),
        )
        .map(drop)
    }

    /// Takes a post out of the trash.
    ///
    /// # Errors
    /// With the status as text.
    pub fn restore(&self, post: &str) -> Result<(), String> {
        let names = vec![post.to_owned()];
        let call = RestorePostsRequest { names };
        self.ask(self.trash_service().restore_posts(call)).map(drop)
    }

    /// Ends a post that is in the trash.
    ///
    /// # Errors
    /// With the status as text.
    pub fn purge(&self, post: &str) -> Result<(), String> {
        let names = vec![post.to_owned()];
        self.ask(
            self.trash_service()
                .purge_posts(PurgePostsRequest { names }),
        )
        .map(drop)
    }

    /// Lets a rejected content come back; whether it was rejected, as 1 or 0.
    ///
    /// # Errors
    /// With the status as text.
    pub fn allow(&self, sha256: &str) -> Result<u64, String> {
        let sha256s = vec![sha256.to_owned()];
        let call = AllowRejectedRequest { sha256s };
        let answer = self.ask(self.trash_service().allow_rejected(call))?;
        Ok(answer.allowed)
    }

    fn trash_service(&self) -> TrashServiceClient<kit::client::Channel> {
        TrashServiceClient::new(self.peer.channel())
    }
}
