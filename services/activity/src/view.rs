//! Which events of the log somebody sees, as a filter of live events and as conditions of statements.
//!
//! Statements are put together from the conditions that apply and from nothing else: a condition that may or may not hold hides from
//! PostgreSQL which index has the rows in their order.

use chassis::{Caller, Error, Result, identity::optional_uuid};
use proto::identity::v1::PrincipalKind;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{State, log::Row, rules::Kinds};

/// Whose events a caller sees, and which of them are asked for.
#[derive(Clone, Default)]
pub struct View {
    pub organization: Uuid,
    /// `None`: all boards.
    pub boards: Option<Vec<Uuid>>,
    /// Events of the organization itself, without a board.
    pub unbound: bool,
    pub board: Option<Uuid>,
    pub agent: Option<Uuid>,
    pub task: Option<Uuid>,
    /// Only these kinds; all when empty.
    pub include: Kinds,
    /// None of these.
    pub exclude: Kinds,
}

impl View {
    /// What a caller may see. Agents see what is about themselves.
    pub fn of(caller: &Caller, board: Option<&String>) -> Result<Self> {
        let organization = caller.organization()?;
        let board = optional_uuid(board)?;
        if caller.kind() == PrincipalKind::Agent {
            return Ok(Self {
                organization,
                unbound: true,
                agent: caller.agent_id(),
                board,
                ..Self::default()
            });
        }
        let boards = caller.readable_boards()?;
        if let (Some(board), Some(boards)) = (board, &boards)
            && !boards.contains(&board)
        {
            return Err(Error::denied("Board access denied"));
        }
        let role = caller
            .membership(organization)
            .map(|membership| membership.role.as_str());
        Ok(Self {
            organization,
            boards,
            unbound: matches!(role, Some("owner" | "admin")),
            board,
            ..Self::default()
        })
    }

    /// Narrows it to an agent. Agents see themselves only.
    pub fn about_agent(&mut self, agent: Option<Uuid>) -> Result<()> {
        match (self.agent, agent) {
            (Some(own), Some(wanted)) if own != wanted => Err(Error::denied("Agents see their own events only.")),
            (None, Some(_)) => {
                self.agent = agent;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether an entry belongs to it.
    pub fn shows(&self, row: &Row) -> bool {
        let on_board = match row.board_id {
            Some(id) => self.boards.as_ref().is_none_or(|boards| boards.contains(&id)),
            None => self.unbound,
        };
        on_board
            && self.board.is_none_or(|wanted| row.board_id == Some(wanted))
            && self.agent.is_none_or(|wanted| row.agent_id == Some(wanted))
            && self.task.is_none_or(|wanted| row.task_id == Some(wanted))
            && (self.include.is_empty() || self.include.has(&row.event_type))
            && !self.exclude.has(&row.event_type)
    }

    /// The conditions on entries `e`, after a `WHERE`.
    pub fn conditions(&self, query: &mut QueryBuilder<Postgres>) {
        query.push("e.organization_id = ").push_bind(self.organization);
        if let Some(board) = self.board {
            query.push(" AND e.board_id = ").push_bind(board);
        }
        self.readable(query, "e.board_id IS NULL");
        if let Some(agent) = self.agent {
            query.push(" AND e.agent_id = ").push_bind(agent);
        }
        if let Some(task) = self.task {
            query.push(" AND e.task_id = ").push_bind(task);
        }
        self.kinds(query);
    }

    /// The condition on boards; `none` is how an entry says that it has none.
    fn readable(&self, query: &mut QueryBuilder<Postgres>, none: &str) {
        match (&self.boards, self.unbound) {
            (None, true) => {}
            (None, false) => {
                query.push(" AND NOT ").push(none);
            }
            (Some(boards), false) => {
                query.push(" AND e.board_id = ANY(").push_bind(boards.clone()).push(")");
            }
            (Some(boards), true) => {
                query
                    .push(" AND (e.board_id = ANY(")
                    .push_bind(boards.clone())
                    .push(") OR ")
                    .push(none)
                    .push(")");
            }
        }
    }

    /// The conditions on kinds.
    fn kinds(&self, query: &mut QueryBuilder<Postgres>) {
        kinds(query, &self.include, " AND (", ")");
        kinds(query, &self.exclude, " AND NOT (", ")");
    }

    /// How many entries there are. Kinds and boards are counted as they are written; what is about one agent or task is counted here.
    pub fn total(&self) -> QueryBuilder<Postgres> {
        if self.agent.is_some() || self.task.is_some() {
            let mut query = QueryBuilder::new("SELECT count(*) FROM activity.events e WHERE ");
            self.conditions(&mut query);
            return query;
        }
        let mut query = QueryBuilder::new(
            "SELECT coalesce(sum(e.total), 0)::bigint FROM activity.tallies e WHERE e.organization_id = ",
        );
        query.push_bind(self.organization);
        if let Some(board) = self.board {
            query.push(" AND e.board_id = ").push_bind(board);
        }
        self.readable(&mut query, "e.board_id = '00000000-0000-0000-0000-000000000000'");
        self.kinds(&mut query);
        query
    }

    /// A page of entries, newest first: `select` with columns of `e`. Each way to look has its own index that has them in order; several boards or
    /// kinds are read one by one, each as far as the page goes, and merged.
    pub fn page(&self, select: &str, limit: i32, offset: i32) -> QueryBuilder<Postgres> {
        const ORDER: &str = " ORDER BY e.created_at DESC, e.id DESC LIMIT ";
        let (limit, offset) = (i64::from(limit), i64::from(offset));
        let mut query = QueryBuilder::new(format!("{select} FROM "));
        let single = self.board.is_some() || self.agent.is_some() || self.task.is_some();
        if let (Some(boards), false) = (&self.boards, single) {
            let part = Self {
                boards: None,
                ..self.clone()
            };
            query.push("(SELECT e.* FROM unnest(").push_bind(boards.clone());
            query.push("::uuid[]) AS wanted (board_id) CROSS JOIN LATERAL (SELECT e.* FROM activity.events e WHERE e.board_id = wanted.board_id AND ");
            Self {
                unbound: true,
                ..part.clone()
            }
            .conditions(&mut query);
            query.push(ORDER).push_bind(limit + offset).push(") e");
            if self.unbound {
                query.push(" UNION ALL (SELECT e.* FROM activity.events e WHERE e.board_id IS NULL AND ");
                part.conditions(&mut query);
                query.push(ORDER).push_bind(limit + offset).push(")");
            }
            query.push(") e");
        } else if !single && !self.include.is_empty() {
            let part = Self {
                include: Kinds::default(),
                ..self.clone()
            };
            query.push("(SELECT DISTINCT e.event_type FROM activity.tallies e WHERE e.organization_id = ");
            query.push_bind(self.organization);
            self.kinds(&mut query);
            query.push(") AS wanted CROSS JOIN LATERAL (SELECT e.* FROM activity.events e WHERE e.event_type = wanted.event_type AND ");
            part.conditions(&mut query);
            query.push(ORDER).push_bind(limit + offset).push(") e");
        } else {
            query.push("activity.events e WHERE ");
            self.conditions(&mut query);
        }
        query.push(ORDER).push_bind(limit).push(" OFFSET ").push_bind(offset);
        query
    }
}

/// The boards of an organization that a view shows.
pub async fn boards(state: &State, view: &View) -> Result<Vec<Uuid>> {
    let wanted = match (view.board, &view.boards) {
        (Some(board), _) => Some(vec![board]),
        (None, boards) => boards.clone(),
    };
    Ok(sqlx::query_scalar!(
        "SELECT id FROM activity.boards WHERE organization_id = $1 AND NOT deleted AND ($2::uuid[] IS NULL OR id = ANY($2))",
        view.organization,
        wanted as _
    )
    .fetch_all(state.store.pool())
    .await?)
}

/// The condition that the kind is one of a list.
pub fn kinds(query: &mut QueryBuilder<Postgres>, list: &Kinds, open: &str, close: &str) {
    if list.is_empty() {
        return;
    }
    query.push(open);
    match (list.exact.as_slice(), list.patterns.is_empty()) {
        ([one], true) => {
            query.push("e.event_type = ").push_bind(one.clone());
        }
        (exact, true) => {
            query.push("e.event_type = ANY(").push_bind(exact.to_vec()).push(")");
        }
        ([], false) => {
            query
                .push("e.event_type LIKE ANY(")
                .push_bind(list.patterns.clone())
                .push(")");
        }
        (exact, false) => {
            query.push("e.event_type = ANY(").push_bind(exact.to_vec());
            query
                .push(") OR e.event_type LIKE ANY(")
                .push_bind(list.patterns.clone())
                .push(")");
        }
    }
    query.push(close);
}
