//! Tasks: their rows, their messages and the RPCs around them.

mod create;
mod dependents;
mod details;
mod explain;
mod links;
mod overview;
mod read;
mod rows;
mod update;

use std::pin::Pin;

use chassis::{Caller, etag::IfMatch};
use futures::Stream;
use proto::{
    board::v1::{
        AssignTaskRequest, CountTasksRequest, CountTasksResponse, CreateTaskCommentRequest, CreateTaskRequest,
        DeleteTaskRequest, ExplainTransitionRequest, GetTaskDetailsRequest, GetTaskRequest, ListTaskCommentsRequest,
        ListTaskCommentsResponse, ListTasksRequest, ListTasksResponse, Task, TaskComment, TaskDetails, TaskEvent,
        TransitionExplanation, UpdateTaskRequest, WatchTasksRequest, task_service_server::TaskService,
    },
    common::v1::Ok as Done,
};
use tonic::{Request, Response, Status};

pub use overview::{counts, foremost, of_board};
pub use rows::{BoardFacts, Loaded, NO_VALUES, TaskRow, load, rows_by_id, rows_of_agents};

use crate::Service;

#[tonic::async_trait]
impl TaskService for Service {
    type WatchTasksStream = Pin<Box<dyn Stream<Item = Result<TaskEvent, Status>> + Send>>;

    async fn list_tasks(&self, request: Request<ListTasksRequest>) -> Result<Response<ListTasksResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.list(&caller, request.into_inner()).await?))
    }

    async fn count_tasks(&self, request: Request<CountTasksRequest>) -> Result<Response<CountTasksResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.count(&caller, request.get_ref()).await?))
    }

    async fn create_task(&self, request: Request<CreateTaskRequest>) -> Result<Response<Task>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.create(&caller, request.into_inner()).await?))
    }

    async fn get_task(&self, request: Request<GetTaskRequest>) -> Result<Response<Task>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.get(&caller, &request.into_inner()).await?))
    }

    async fn get_task_details(&self, request: Request<GetTaskDetailsRequest>) -> Result<Response<TaskDetails>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.details(&caller, request.get_ref()).await?))
    }

    async fn update_task(&self, request: Request<UpdateTaskRequest>) -> Result<Response<Task>, Status> {
        let (caller, if_match) = (Caller::of(&request)?, IfMatch::of(&request));
        let change = update::Change::of(request.into_inner())?;
        Ok(Response::new(self.update(&caller, change, &if_match).await?))
    }

    async fn explain_transition(
        &self,
        request: Request<ExplainTransitionRequest>,
    ) -> Result<Response<TransitionExplanation>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.explain(&caller, request.get_ref()).await?))
    }

    async fn delete_task(&self, request: Request<DeleteTaskRequest>) -> Result<Response<Done>, Status> {
        let (caller, if_match) = (Caller::of(&request)?, IfMatch::of(&request));
        self.delete(&caller, &request.into_inner(), &if_match).await?;
        Ok(Response::new(Done { ok: true }))
    }

    async fn assign_task(&self, request: Request<AssignTaskRequest>) -> Result<Response<Task>, Status> {
        let (caller, if_match) = (Caller::of(&request)?, IfMatch::of(&request));
        let change = update::Change::assignment(&request.into_inner())?;
        Ok(Response::new(self.update(&caller, change, &if_match).await?))
    }

    async fn list_task_comments(
        &self,
        request: Request<ListTaskCommentsRequest>,
    ) -> Result<Response<ListTaskCommentsResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.list_comments(&caller, &request.into_inner()).await?))
    }

    async fn create_task_comment(
        &self,
        request: Request<CreateTaskCommentRequest>,
    ) -> Result<Response<TaskComment>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.create_comment(&caller, request.into_inner()).await?))
    }

    async fn watch_tasks(
        &self,
        request: Request<WatchTasksRequest>,
    ) -> Result<Response<Self::WatchTasksStream>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.watch(&caller, &request.into_inner()).await?))
    }
}
