//! What is asked on the command line. What is typed there counts before what the environment says: whoever types
//! `--data` means that folder, whatever `NATS_URL` is set to.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, Parser};

/// Reads the command line, or ends the process with what is wrong about it.
pub fn read<P: Parser>() -> P {
    let matches = P::command().get_matches();
    let matches = match (is_typed(&matches, "data"), is_typed(&matches, "nats")) {
        (true, true) => P::command()
            .error(
                ErrorKind::ArgumentConflict,
                "--data and --nats name two installations; say one of them",
            )
            .exit(),
        (true, false) => without_servers(P::command()).get_matches(),
        (false, _) => matches,
    };
    P::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Whether an option of the subcommand stands on the command line.
fn is_typed(matches: &ArgMatches, id: &str) -> bool {
    if let Some((_, matches)) = matches.subcommand() {
        return is_typed(matches, id);
    }
    matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// The same command, which does not look for servers in the environment.
fn without_servers(command: Command) -> Command {
    // `maru database` has a user and no address: it is the server, and makes that user.
    let signs_in = command.get_arguments().any(|argument| argument.get_id() == "url");
    command
        .mut_args(|argument| match argument.get_id().as_str() {
            "nats" | "url" => argument.env(None::<&str>),
            "database_user" if signs_in => argument.env(None::<&str>),
            _ => argument,
        })
        .mut_subcommands(without_servers)
}
