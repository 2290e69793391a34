//! What other services ask about boards and tasks.

use chassis::{Error, Result, identity::uuid_of};
use proto::board::v1::{
    Board, ListGatewayBoardsRequest, ListGatewayBoardsResponse, LookupBoardRequest, LookupBoardsRequest,
    LookupBoardsResponse, LookupTasksRequest, LookupTasksResponse,
    board_directory_service_server::BoardDirectoryService,
};
use tonic::{Request, Response, Status};

use crate::{
    Service, boards,
    tasks::{TaskRow, rows_by_id},
};

#[tonic::async_trait]
impl BoardDirectoryService for Service {
    async fn lookup_board(&self, request: Request<LookupBoardRequest>) -> Result<Response<Board>, Status> {
        let row = boards::find(self.store.pool(), uuid_of(&request.get_ref().board_id)?).await?;
        Ok(Response::new(row.message()))
    }

    async fn lookup_boards(
        &self,
        request: Request<LookupBoardsRequest>,
    ) -> Result<Response<LookupBoardsResponse>, Status> {
        let ids = request
            .get_ref()
            .board_ids
            .iter()
            .map(|id| uuid_of(id))
            .collect::<Result<Vec<_>>>()?;
        let rows = boards::by_id(self.store.pool(), &ids).await?;
        Ok(Response::new(LookupBoardsResponse {
            boards: rows.iter().map(boards::BoardRow::message).collect(),
        }))
    }

    async fn list_gateway_boards(
        &self,
        request: Request<ListGatewayBoardsRequest>,
    ) -> Result<Response<ListGatewayBoardsResponse>, Status> {
        let rows = boards::of_gateway(self.store.pool(), uuid_of(&request.get_ref().gateway_id)?).await?;
        Ok(Response::new(ListGatewayBoardsResponse {
            boards: rows.iter().map(boards::BoardRow::message).collect(),
        }))
    }

    async fn lookup_tasks(
        &self,
        request: Request<LookupTasksRequest>,
    ) -> Result<Response<LookupTasksResponse>, Status> {
        let request = request.into_inner();
        let board = uuid_of(&request.board_id)?;
        let ids = request
            .task_ids
            .iter()
            .map(|id| uuid_of(id))
            .collect::<Result<Vec<_>>>()?;
        let mut connection = self.store.pool().acquire().await.map_err(Error::from)?;
        let rows = rows_by_id(&mut connection, &ids).await?;
        let tasks = rows
            .iter()
            .filter(|row| row.board_id == board)
            .map(TaskRow::message)
            .collect();
        Ok(Response::new(LookupTasksResponse { tasks }))
    }
}
