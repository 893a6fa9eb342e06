//! Servers that are started, killed, paused and started again. The server is this very program.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a server's log is what it prints"
)]

use std::fs;
use std::future::{Future, pending};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Env, ErrorKind, TokioEnv};
use conformance_tests::fault::{Ready, ServerProcess, ServerSpec};
use libtest_mimic::{Arguments, Trial};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// The variable that makes a server of this program, and says which.
const ROLE: &str = "BANANAS_TEST_SERVER";
const PORT: &str = "BANANAS_TEST_PORT";

/// Long enough for a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long to look for what must not happen.
const GLIMPSE: Duration = Duration::from_millis(100);

macro_rules! trial {
    ($check:ident) => {
        Trial::test(stringify!($check), || {
            run($check());
            Ok(())
        })
    };
}

fn main() -> ExitCode {
    if let Ok(role) = std::env::var(ROLE) {
        return run(play(role));
    }
    let trials = vec![
        trial!(a_started_server_answers_and_a_killed_one_does_not),
        trial!(a_server_started_again_has_its_port_and_its_data),
        trial!(a_kill_reaches_what_the_server_has_started),
        trial!(an_orderly_end_lets_the_server_tidy_up),
        trial!(a_server_that_ignores_the_request_to_end_runs_on_after_the_deadline),
        trial!(a_paused_server_is_silent_and_goes_on_where_it_was),
        trial!(a_failed_start_shows_what_the_server_printed),
        trial!(a_server_that_is_never_ready_fails_the_start),
        trial!(a_program_that_is_not_there_fails_the_start),
        trial!(a_port_that_somebody_else_has_taken_is_replaced),
        trial!(a_server_is_ready_only_when_it_has_said_so),
        trial!(a_dropped_server_is_gone),
        trial!(a_server_does_not_outlive_a_program_that_was_killed),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

fn env() -> Arc<dyn Env> {
    Arc::new(TokioEnv::current())
}

/// This program in a role.
fn spec(role: &str, folder: &Path) -> ServerSpec {
    ServerSpec::new(std::env::current_exe().unwrap(), folder)
        .variable(ROLE, role)
        .variable(PORT, "{port}")
        .deadline(DEADLINE)
}

async fn started(role: &str) -> (TempDir, ServerProcess) {
    let folder = TempDir::new().unwrap();
    let server = ServerProcess::start(&env(), spec(role, folder.path())).await;
    (folder, server.unwrap())
}

/// What the server answers to a line.
async fn ask(server: &ServerProcess, line: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server.address()).await?;
    stream.write_all(line.as_bytes()).await?;
    stream.write_all(b"\n").await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    Ok(answer.trim_end().to_owned())
}

async fn refuses(address: SocketAddr) {
    let env = env();
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            env.sleep(Duration::from_millis(5)).await;
        }
    };
    env.within(DEADLINE, refused).await.unwrap();
}

/// Plays the server until it is killed.
async fn play(role: String) -> ExitCode {
    match role.as_str() {
        "broken" => {
            eprintln!("there is no such setting: bananas");
            return ExitCode::from(3);
        }
        "deaf" => pending().await,
        // The first time somebody else has the port.
        "unlucky" if !Path::new("first port").exists() => {
            fs::write("first port", std::env::var(PORT).unwrap()).unwrap();
            eprintln!("bind: Address already in use");
            return ExitCode::FAILURE;
        }
        "parent" => return parent().await,
        "with child" => {
            // It stays in the group of its parent.
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.env(ROLE, "child").spawn().unwrap();
            while !Path::new("child port").exists() {
                env().sleep(Duration::from_millis(5)).await;
            }
        }
        "child" => {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            fs::write("new", port.to_string()).unwrap();
            fs::rename("new", "child port").unwrap();
            return pending().await;
        }
        _ => {}
    }
    let terminated = signal(SignalKind::terminate());
    let port = std::env::var(PORT).unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    if role == "slow" {
        env().sleep(GLIMPSE).await;
    }
    println!("ready on port {port}");
    tokio::select! {
        () = serve(listener) => {}
        () = tidy_up(terminated.unwrap(), &role) => {}
    }
    ExitCode::SUCCESS
}

async fn tidy_up(mut terminated: tokio::signal::unix::Signal, role: &str) {
    terminated.recv().await;
    if role == "stubborn" {
        return pending().await;
    }
    fs::write("tidy", "").unwrap();
}

/// Keeps each line, and answers how many it has.
async fn serve(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) > 0 {
            let kept = fs::read_to_string("kept").unwrap_or_default() + &line;
            fs::write("kept", &kept).unwrap();
            let answer = format!("{}\n", kept.lines().count());
            stream.write_all(answer.as_bytes()).await.ok();
        }
    }
}

/// Starts a server, and lives until it is killed.
async fn parent() -> ExitCode {
    let folder = std::env::current_dir().unwrap().join("server");
    let server = ServerProcess::start(&env(), spec("plain", &folder)).await;
    println!("{}", server.as_ref().unwrap().address());
    pending().await
}

async fn a_started_server_answers_and_a_killed_one_does_not() {
    let (_folder, mut server) = started("plain").await;
    assert_eq!(ask(&server, "hello").await.unwrap(), "1");
    assert!(server.pid().is_some());
    server.kill().await.unwrap();
    assert!(server.pid().is_none());
    let refused = TcpStream::connect(server.address()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(server.kill().await.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn a_server_started_again_has_its_port_and_its_data() {
    let (_folder, mut server) = started("plain").await;
    let address = server.address();
    let early = server.start_again().await.unwrap_err();
    assert_eq!(early.kind(), ErrorKind::Conflict);
    for life in 1..=3_u8 {
        assert_eq!(ask(&server, "again").await.unwrap(), life.to_string());
        server.kill().await.unwrap();
        server.start_again().await.unwrap();
    }
    assert_eq!(server.address(), address);
}

async fn a_kill_reaches_what_the_server_has_started() {
    let (folder, mut server) = started("with child").await;
    let port = fs::read_to_string(folder.path().join("child port")).unwrap();
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, port.parse().unwrap()).into();
    TcpStream::connect(address).await.unwrap();
    server.kill().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

async fn an_orderly_end_lets_the_server_tidy_up() {
    let (folder, mut server) = started("plain").await;
    server.terminate().await.unwrap();
    assert!(folder.path().join("tidy").exists());
    assert!(TcpStream::connect(server.address()).await.is_err());
    server.start_again().await.unwrap();
}

async fn a_server_that_ignores_the_request_to_end_runs_on_after_the_deadline() {
    let folder = TempDir::new().unwrap();
    let spec = spec("stubborn", folder.path()).deadline(Duration::from_secs(5));
    let mut server = ServerProcess::start(&env(), spec).await.unwrap();
    let late = server.terminate().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    assert_eq!(ask(&server, "still there?").await.unwrap(), "1");
    server.kill().await.unwrap();
}

async fn a_paused_server_is_silent_and_goes_on_where_it_was() {
    let (_folder, server) = started("plain").await;
    server.pause().unwrap();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"anyone?\n").await.unwrap();
    let mut byte = [0];
    let answer = env().within(GLIMPSE, stream.read(&mut byte)).await;
    assert!(answer.is_err(), "it answered while it was paused");
    server.resume().unwrap();
    let answer = env().within(DEADLINE, stream.read(&mut byte)).await;
    assert_eq!((answer.unwrap().unwrap(), byte), (1, *b"1"));
}

async fn a_failed_start_shows_what_the_server_printed() {
    let folder = TempDir::new().unwrap();
    let failed = ServerProcess::start(&env(), spec("broken", folder.path())).await;
    let text = failed.unwrap_err().to_string();
    assert!(text.contains("exit code 3"), "{text}");
    assert!(text.contains("no such setting: bananas"), "{text}");
}

async fn a_server_that_is_never_ready_fails_the_start() {
    let folder = TempDir::new().unwrap();
    let spec = spec("deaf", folder.path()).deadline(Duration::from_millis(300));
    let failed = ServerProcess::start(&env(), spec).await;
    let text = failed.unwrap_err().to_string();
    assert!(text.contains("not ready after 300ms"), "{text}");
}

async fn a_program_that_is_not_there_fails_the_start() {
    let folder = TempDir::new().unwrap();
    let spec = ServerSpec::new("bananas-no-such-server", folder.path());
    let text = ServerProcess::start(&env(), spec).await.unwrap_err();
    assert!(text.to_string().contains("cannot be started"), "{text}");
}

async fn a_port_that_somebody_else_has_taken_is_replaced() {
    let (folder, server) = started("unlucky").await;
    let first = fs::read_to_string(folder.path().join("first port")).unwrap();
    assert_ne!(first, server.address().port().to_string());
    assert_eq!(ask(&server, "hello").await.unwrap(), "1");
}

async fn a_server_is_ready_only_when_it_has_said_so() {
    let folder = TempDir::new().unwrap();
    let ready = Ready::Prints("ready on port".to_owned());
    let spec = spec("slow", folder.path()).ready_when(ready);
    let mut server = ServerProcess::start(&env(), spec).await.unwrap();
    let said = |log: &str| log.matches("ready on port").count();
    assert_eq!(said(&fs::read_to_string(server.log()).unwrap()), 1);
    // What it said in its former life does not count.
    server.kill().await.unwrap();
    server.start_again().await.unwrap();
    assert_eq!(said(&fs::read_to_string(server.log()).unwrap()), 2);
}

async fn a_dropped_server_is_gone() {
    let (_folder, server) = started("plain").await;
    let address = server.address();
    drop(server);
    refuses(address).await;
}

async fn a_server_does_not_outlive_a_program_that_was_killed() {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(ROLE, "parent").current_dir(folder.path());
    command.stdout(Stdio::piped()).kill_on_drop(true);
    let mut parent = command.spawn().unwrap();
    let mut address = String::new();
    let mut output = BufReader::new(parent.stdout.take().unwrap());
    output.read_line(&mut address).await.unwrap();
    let address: SocketAddr = address.trim_end().parse().unwrap();
    TcpStream::connect(address).await.unwrap();
    parent.kill().await.unwrap();
    refuses(address).await;
}
