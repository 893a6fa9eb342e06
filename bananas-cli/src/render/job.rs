//! A job's record as the JSON object that programs get.

use std::collections::BTreeMap;

use bananas::{Args, Codecs, Job, JobRecord, RawMessage, Tags, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::time::utc;

/// Everything about a job. Fields without a value are left out.
#[derive(Debug, Serialize)]
pub(crate) struct JobView {
    pub(crate) id: String,
    pub(crate) task: String,
    pub(crate) queue: String,
    pub(crate) state: &'static str,
    pub(crate) priority: u8,
    pub(crate) track: &'static str,
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub(crate) tags: Tags,
    pub(crate) created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<String>,
    pub(crate) failed_attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) crashes: u32,
    pub(crate) epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    pub(crate) cancel_requested: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    pub(crate) errors: Vec<ErrorView>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) meta: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) args: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Box<RawValue>>,
    /// Why its message is no job, when it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) undecodable: Option<String>,
}

/// One failed attempt or crash.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorView {
    pub(crate) attempt: u32,
    pub(crate) at: String,
    pub(crate) cause: bananas::ErrorCause,
    pub(crate) message: String,
}

impl JobView {
    /// Reads a record, and the message in it.
    pub(crate) fn of(record: &JobRecord) -> Self {
        let standing = &record.standing;
        let job = decode(record);
        let time = |at: Option<Timestamp>| at.map(utc);
        let decoded = job.as_ref().ok();
        Self {
            id: record.id.to_string(),
            task: record.task.to_string(),
            queue: record.queue.to_string(),
            state: standing.state.as_str(),
            priority: record.priority.get(),
            track: record.track.as_str(),
            tags: record.tags.clone(),
            created_at: utc(record.created_at),
            run_at: time(standing.run_at),
            expires_at: time(standing.expires_at),
            started_at: time(record.started_at),
            finished_at: time(standing.finished_at),
            failed_attempts: standing.failed_attempts,
            max_attempts: decoded.and_then(|job| job.max_attempts),
            timeout_ms: decoded
                .and_then(|job| job.timeout)
                .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
            crashes: standing.crashes,
            epoch: standing.epoch,
            owner: standing.owner.map(|owner| owner.to_string()),
            cancel_requested: standing.cancel_requested,
            reason: standing.reason.map(bananas::DeadReason::as_str),
            note: record.note.clone(),
            errors: record.errors.iter().map(ErrorView::of).collect(),
            meta: decoded.map(|job| job.meta.clone()).unwrap_or_default(),
            args: decoded.map(|job| args(&job.args)),
            result: record.result.as_deref().map(raw),
            undecodable: job.as_ref().err().cloned(),
        }
    }
}

impl ErrorView {
    fn of(error: &bananas::AttemptError) -> Self {
        Self {
            attempt: error.attempt,
            at: utc(error.at),
            cause: error.cause,
            message: error.message.clone(),
        }
    }
}

/// The job in a record, or why there is none.
pub(crate) fn decode(record: &JobRecord) -> Result<Job, String> {
    let message = RawMessage::new(record.id, record.body.clone());
    Codecs::default()
        .of(&record.queue)
        .decode(&record.queue, &message)
        .map_err(|e| e.reason)
}

/// Arguments as JSON; bytes that are none as an object with their type and base64.
fn args(args: &Args) -> Box<RawValue> {
    match args {
        Args::Json(json) => raw(json),
        Args::Data {
            content_type,
            bytes,
        } => {
            let data =
                serde_json::json!({ "content_type": content_type, "data": STANDARD.encode(bytes) });
            raw(data.to_string().as_bytes())
        }
    }
}

/// JSON as it was written, but on one line; what is no JSON as a string.
pub(crate) fn raw(bytes: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8_lossy(bytes);
    // Outside of strings a line break is mere space, and inside of them JSON has none.
    let line = text.replace(['\n', '\r'], " ");
    RawValue::from_string(line).unwrap_or_else(|_| {
        let quoted = serde_json::Value::from(text).to_string();
        RawValue::from_string(quoted).unwrap_or_else(|_| RawValue::NULL.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_as_it_is_on_one_line_and_other_bytes_become_a_string() {
        assert_eq!(
            raw(b"{\n \"n\": 1.10,\n\"a\":1}").get(),
            r#"{  "n": 1.10, "a":1}"#
        );
        assert_eq!(raw(b"no json").get(), "\"no json\"");
    }
}
