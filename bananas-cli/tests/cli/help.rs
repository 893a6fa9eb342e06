//! What the command says about itself.

use crate::stage::Stage;

const COMMANDS: [&[&str]; 20] = [
    &["worker"],
    &["enqueue"],
    &["jobs", "list"],
    &["jobs", "show"],
    &["jobs", "retry"],
    &["jobs", "cancel"],
    &["queues"],
    &["wait"],
    &["dead", "list"],
    &["dead", "show"],
    &["dead", "retry"],
    &["dead", "drop"],
    &["config", "check"],
    &["completions"],
    &["jobs"],
    &["dead"],
    &["config"],
    &["demo"],
    &["doctor"],
    &[],
];

#[test]
fn every_command_explains_itself() {
    let stage = Stage::with("");
    for command in COMMANDS {
        let mut args = command.to_vec();
        args.push("--help");
        let text = stage.run(&args).ok().stdout;
        assert!(
            text.contains("Examples:"),
            "{command:?} has no examples: {text}"
        );
        let example = ["bananas"].iter().chain(command).copied();
        let example = example.collect::<Vec<_>>().join(" ");
        assert!(
            text.contains(&format!("\n  {example} ")) || text.contains(&format!("\n  {example}\n")),
            "{text}"
        );
    }
}

#[test]
fn alone_it_shows_three_commands_to_start_with() {
    let stage = Stage::with("");
    let text = stage.run(&[]).ok().stdout;
    for command in ["bananas demo", "bananas enqueue", "bananas worker"] {
        assert!(text.contains(command), "{text}");
    }
}

#[test]
fn exit_codes_are_documented() {
    let stage = Stage::with("");
    for args in [&["help", "exit-codes"][..], &["exit-codes"], &["--help"]] {
        assert!(
            stage.run(args).ok().stdout.contains("4  `wait`"),
            "{args:?}"
        );
    }
    stage.run(&["--version"]).ok();
    stage.run(&["no-such-command"]).ends_with(2);
}

#[test]
fn completions_are_written_for_each_shell() {
    let stage = Stage::with("");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stage.run(&["completions", shell]).ok().stdout;
        assert!(script.contains("enqueue"), "{shell}");
    }
}
