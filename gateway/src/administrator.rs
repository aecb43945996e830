//! The administrator: signing up gives readers and authors only, so the first one is made by who runs
//! the house, with a password that they set.

use maru_schemas::envelope::Actor;
use maru_schemas::ids::{self, AccountId, MemberId};
use maru_schemas::members::{Account, CONTEXT, Command, Members, Role};

use crate::accept::Wants;
use crate::door::Door;
use crate::password::sealed_hash;
use crate::problem::Problem;
use crate::routes::members::SHORTEST_PASSWORD;

const USERNAME: &str = "admin";

/// The administrator could not be made.
#[derive(Debug, thiserror::Error)]
#[error("make the administrator: {0}")]
pub struct AppointError(String);

impl From<Problem> for AppointError {
    fn from(problem: Problem) -> Self {
        Self(problem.detail)
    }
}

impl Door {
    /// Has an account `admin` registered with this password, unless somebody has that name. It is not
    /// waited for: the workers may be elsewhere, and not there yet.
    ///
    /// # Errors
    /// When the command is not known to be stored.
    pub async fn appoint_administrator(&self, password: &str) -> Result<(), AppointError> {
        if password.chars().count() < SHORTEST_PASSWORD {
            let why = format!("MARU_ADMIN_PASSWORD has fewer than {SHORTEST_PASSWORD} characters; choose a longer one");
            return Err(AppointError(why));
        }
        let account = AccountId::of_username(USERNAME);
        let known = self
            .store
            .state::<Account>(CONTEXT, account)
            .await
            .map_err(Problem::from)?;
        if known.is_some() {
            return Ok(());
        }
        let order = self.order(Wants::of_the_house("administrator"), "house", "start", &USERNAME)?;
        let command = Command::RegisterAccount {
            member: MemberId(ids::derive(order.id, "member")),
            username: USERNAME.to_owned(),
            nickname: USERNAME.to_owned(),
            role: Role::Admin,
            sealed_hash: sealed_hash(&self.keys, password.to_owned()).await?,
        };
        self.accept::<Members>(order, Actor::System, account, &command).await?;
        Ok(())
    }
}
