//! Rules about `docker-compose.yml`: it offers what `cargo xtask brokers` starts without Docker.
//!
//! The file is read line by line, as a simple form of YAML; what goes beyond that form is a finding, so that
//! nothing is overlooked.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::tree::{TextFile, Tree};
use crate::brokers::SERVERS;

/// The file.
const PATH: &str = "docker-compose.yml";

/// Where the private servers are listed.
const LIST: &str = "xtask/src/brokers/servers.rs";

/// A service has the same name in both worlds, and is listening where the variables say.
pub(crate) fn unlike_private_servers(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.files.iter().find(|file| file.path == PATH) else {
        let text = "the servers of `cargo xtask brokers` have no services; add the file";
        let needed = tree.has(LIST);
        return needed
            .then(|| Finding::in_file(PATH, text))
            .into_iter()
            .collect();
    };
    let services = services(file);
    let mut findings = Vec::new();
    for (name, service) in &services {
        if !SERVERS.iter().any(|server| server.name == name) {
            let text = format!("the service `{name}` has no private server; add it to {LIST}");
            findings.push(Finding::at(PATH, service.line, text));
        }
    }
    for server in &SERVERS {
        let Some(service) = services.get(server.name) else {
            let text = format!(
                "the server `{}` of {LIST} has no service; add it",
                server.name
            );
            findings.push(Finding::in_file(PATH, text));
            continue;
        };
        let listens = |(_, port): &(usize, String)| {
            let address = port
                .trim_matches('"')
                .rsplit_once(':')
                .map(|(host, _)| host);
            address.is_some_and(|address| names(server.compose_url, address))
        };
        if !service.ports.iter().any(listens) {
            let (name, url) = (server.name, server.compose_url);
            let text = format!("no port of `{name}` is that of {url} in {LIST}");
            findings.push(Finding::at(PATH, service.line, text));
        }
    }
    findings
}

/// Whether a URL has this address, and not merely one that begins like it.
fn names(url: &str, address: &str) -> bool {
    url.split(['/', '@', ',']).any(|part| part == address)
}

/// Every service has a pinned image, ports on the loopback address only, and says when it is healthy.
pub(crate) fn careless_services(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.files.iter().find(|file| file.path == PATH) else {
        return Vec::new();
    };
    let mut findings: Vec<Finding> = malformed(file);
    for (name, service) in services(file) {
        let mut found = |line, text: &str| {
            findings.push(Finding::at(PATH, line, format!("`{name}` {text}")));
        };
        let version = service
            .image
            .as_deref()
            .and_then(|image| image.rsplit_once(':'));
        let is_pinned =
            version.is_some_and(|(_, tag)| tag.starts_with(|c: char| c.is_ascii_digit()));
        if !is_pinned {
            found(service.line, "has no image with a version; name one");
        }
        if !service.is_watched {
            found(
                service.line,
                "has no `healthcheck`; without it nobody can wait for it",
            );
        }
        for (line, port) in &service.ports {
            if !port.starts_with("\"127.0.0.1:") {
                found(
                    *line,
                    "opens a port to the network; put 127.0.0.1: before it, in quotes",
                );
            }
        }
    }
    findings
}

/// What the rules ask about a service.
#[derive(Debug, Default)]
struct Service {
    line: usize,
    image: Option<String>,
    ports: Vec<(usize, String)>,
    is_watched: bool,
}

fn services(file: &TextFile) -> BTreeMap<String, Service> {
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    let (mut in_services, mut name, mut key) = (false, String::new(), String::new());
    for (number, line) in lines(file) {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        let (head, value) = text.split_once(':').unwrap_or((text, ""));
        match indent {
            0 => in_services = head == "services",
            2 if in_services => {
                head.clone_into(&mut name);
                let line = number;
                services.insert(
                    name.clone(),
                    Service {
                        line,
                        ..Service::default()
                    },
                );
            }
            4 if in_services => {
                head.clone_into(&mut key);
                let Some(service) = services.get_mut(&name) else {
                    continue;
                };
                match head {
                    "image" => service.image = Some(value.trim().to_owned()),
                    "healthcheck" => service.is_watched = true,
                    _ => {}
                }
            }
            6 if in_services && key == "ports" => {
                let port = text.strip_prefix("- ").unwrap_or(text).to_owned();
                if let Some(service) = services.get_mut(&name) {
                    service.ports.push((number, port));
                }
            }
            _ => {}
        }
    }
    services
}

/// Lines that are not `key:`, `key: value` or `- value` at a depth of two spaces a step.
fn malformed(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut last, mut folded) = (0, None);
    for (number, line) in lines(file) {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if folded.is_some_and(|depth| indent > depth) {
            continue;
        }
        folded = text.ends_with(">-").then_some(indent);
        let key = text.split_once(':').filter(|(key, value)| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            key.chars().all(plain) && (value.is_empty() || value.starts_with(' '))
        });
        let quotes = text.matches('"').count() % 2 == 0;
        let is_form = key.is_some() || text.starts_with("- ");
        if text.starts_with('\t') || indent % 2 == 1 || indent > last + 2 || !is_form || !quotes {
            let why = "this is beyond the simple form of YAML that is read here: `key: value` or \
                       `- value`, two spaces a step, quotes that end";
            findings.push(Finding::at(PATH, number, why));
        }
        last = indent;
    }
    findings
}

/// The lines that say something.
fn lines(file: &TextFile) -> impl Iterator<Item = (usize, &str)> {
    let says = |(_, line): &(usize, &str)| {
        let text = line.trim_start();
        !text.is_empty() && !text.starts_with('#')
    };
    file.lines().filter(says)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::tidy::finding::texts;

    fn real() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PATH);
        fs::read_to_string(path).unwrap()
    }

    fn found(text: &str) -> Vec<String> {
        let tree = Tree::planted(&[(PATH, text)]);
        let mut found = texts(&unlike_private_servers(&tree));
        found.extend(texts(&careless_services(&tree)));
        found
    }

    #[test]
    fn the_file_and_the_private_servers_are_alike() {
        assert_eq!(found(&real()), Vec::<String>::new());
    }

    #[test]
    fn a_service_without_a_private_server_is_found_and_the_other_way_round() {
        let renamed = real().replace("\n  sqs:", "\n  queues:");
        let found = found(&renamed);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("service `queues` has no private server"),
            "{found:?}"
        );
        assert!(found[1].contains("server `sqs`"), "{found:?}");
    }

    #[test]
    fn a_port_that_no_variable_names_is_found() {
        let moved = real().replace("127.0.0.1:7379:", "127.0.0.1:73790:");
        let found = found(&moved);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("no port of `redis`"), "{found:?}");
    }

    #[test]
    fn careless_services_are_found() {
        for (good, bad, text) in [
            (
                "image: redis:7.4.0-alpine",
                "image: redis:latest",
                "version",
            ),
            ("\"127.0.0.1:4223:4222\"", "\"4223:4222\"", "to the network"),
            ("    healthcheck:\n", "", "healthcheck"),
        ] {
            let found = found(&real().replacen(good, bad, 1));
            assert!(
                found.iter().any(|found| found.contains(text)),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn what_is_no_simple_yaml_is_found() {
        for (good, bad) in [
            ("    image: nats:2.11", "   image: nats:2.11"),
            ("    image: nats:2.11", "      image: nats:2.11"),
            (
                "      - \"127.0.0.1:5433:5432\"",
                "      - \"127.0.0.1:5433:5432",
            ),
            (
                "POSTGRES_HOST_AUTH_METHOD: trust",
                "POSTGRES_HOST_AUTH_METHOD=trust",
            ),
        ] {
            let found = found(&real().replacen(good, bad, 1));
            let is_found = found.iter().any(|found| found.contains("simple form"));
            assert!(is_found, "{bad}: {found:?}");
        }
    }

    #[test]
    fn without_the_file_something_is_missing_only_where_there_are_private_servers() {
        assert!(unlike_private_servers(&Tree::planted(&[("a.rs", "")])).is_empty());
        let tree = Tree::planted(&[(LIST, "//! The list.\n")]);
        assert_eq!(unlike_private_servers(&tree).len(), 1);
    }
}
