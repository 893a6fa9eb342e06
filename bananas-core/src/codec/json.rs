//! Our own wire format: one JSON object, version 1.
//!
//! Arguments stay raw, defaults are left out, and fields that this version does not know are kept, so a
//! newer producer and an older worker can share a queue. `sdk/fixtures/` holds golden messages.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Codec, Undecodable};
use crate::{
    Args, Error, ErrorKind, Job, JobId, Priority, QueueName, RawMessage, Result, Tags, TaskName,
    Timestamp, Track, Unique,
};

/// The format `bananas`, version 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonCodec;

const VERSION: u32 = 1;

impl Codec for JsonCodec {
    fn name(&self) -> &'static str {
        "bananas"
    }

    fn encode(&self, job: &Job) -> Result<Bytes> {
        let mut body = Vec::with_capacity(192 + job.args.len());
        serde_json::to_writer(&mut body, &Wire(job)).map_err(|e| {
            Error::new(ErrorKind::InvalidArgument, "job has no wire form")
                .because(e)
                .on(&job.queue)
        })?;
        Ok(body.into())
    }

    fn decode(
        &self,
        queue: &QueueName,
        message: &RawMessage,
    ) -> std::result::Result<Job, Undecodable> {
        let undecodable = |e: serde_json::Error| Undecodable {
            reason: e.to_string(),
        };
        let fields: Fields<'_> = serde_json::from_slice(&message.body).map_err(undecodable)?;
        fields
            .into_job(queue, &message.body)
            .map_err(|reason| Undecodable { reason })
    }
}

/// A job on its way out.
struct Wire<'a>(&'a Job);

impl Serialize for Wire<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        use serde::ser::Error as _;
        let job = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("v", &VERSION)?;
        map.serialize_entry("id", &job.id)?;
        map.serialize_entry("task", job.task.as_str())?;
        map.serialize_entry("queue", job.queue.as_str())?;
        match &job.args {
            Args::Json(json) => {
                map.serialize_entry("args", raw(json).map_err(S::Error::custom)?)?
            }
            Args::Data {
                content_type,
                bytes,
            } => {
                map.serialize_entry("content_type", content_type)?;
                map.serialize_entry("data", &BASE64.encode(bytes))?;
            }
        }
        if job.priority != Priority::DEFAULT {
            map.serialize_entry("priority", &job.priority)?;
        }
        if job.track != Track::default() {
            map.serialize_entry("track", &job.track)?;
        }
        map.serialize_entry("created_at_us", &job.created_at)?;
        self.serialize_rest(&mut map)?;
        map.end()
    }
}

impl Wire<'_> {
    /// The fields that most jobs leave out.
    fn serialize_rest<M: SerializeMap>(&self, map: &mut M) -> std::result::Result<(), M::Error> {
        use serde::ser::Error as _;
        let job = self.0;
        if let Some(at) = job.run_at {
            map.serialize_entry("run_at_us", &at)?;
        }
        if let Some(at) = job.expires_at {
            map.serialize_entry("expires_at_us", &at)?;
        }
        if job.failed_attempts > 0 {
            map.serialize_entry("failed_attempts", &job.failed_attempts)?;
        }
        if let Some(error) = &job.last_error {
            map.serialize_entry("last_error", error)?;
        }
        if let Some(max) = job.max_attempts {
            map.serialize_entry("max_attempts", &max)?;
        }
        if let Some(timeout) = job.timeout {
            map.serialize_entry("timeout_ms", &millis(timeout))?;
        }
        if let Some(unique) = &job.unique {
            map.serialize_entry("unique_key", &unique.key)?;
            map.serialize_entry("unique_for_ms", &millis(unique.lasts))?;
        }
        if !job.tags.is_empty() {
            map.serialize_entry("tags", &job.tags)?;
        }
        if !job.meta.is_empty() {
            map.serialize_entry("meta", &job.meta)?;
        }
        for (name, json) in &job.unknown {
            map.serialize_entry(name, raw(json).map_err(M::Error::custom)?)?;
        }
        Ok(())
    }
}

fn raw(json: &[u8]) -> std::result::Result<&RawValue, serde_json::Error> {
    serde_json::from_slice(json)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The fields of a message on its way in, borrowed from the body where they can be.
#[derive(Default)]
struct Fields<'a> {
    version: Option<u32>,
    id: Option<JobId>,
    task: Option<Cow<'a, str>>,
    args: Option<&'a RawValue>,
    data: Option<String>,
    content_type: Option<String>,
    priority: Option<Priority>,
    track: Option<Track>,
    created_at: Option<Timestamp>,
    run_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    failed_attempts: Option<u32>,
    last_error: Option<String>,
    max_attempts: Option<u32>,
    timeout_ms: Option<u64>,
    unique_key: Option<String>,
    unique_for_ms: Option<u64>,
    tags: Option<Tags>,
    meta: Option<BTreeMap<String, String>>,
    unknown: Vec<(String, &'a RawValue)>,
}

/// A string that borrows when it has no escapes; `Cow` alone never borrows with serde.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message of the format \"bananas\", a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Fields<'de>, A::Error> {
                let mut fields = Fields::default();
                while let Some(Text(key)) = map.next_key()? {
                    fields.read(&key, &mut map)?;
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl<'a> Fields<'a> {
    fn read<A: MapAccess<'a>>(
        &mut self,
        key: &str,
        map: &mut A,
    ) -> std::result::Result<(), A::Error> {
        match key {
            "v" => self.version = Some(map.next_value()?),
            "id" => self.id = Some(map.next_value()?),
            "task" => self.task = Some(map.next_value::<Text<'a>>()?.0),
            "queue" => drop(map.next_value::<Text<'a>>()?),
            "args" => self.args = Some(map.next_value()?),
            "data" => self.data = Some(map.next_value()?),
            "content_type" => self.content_type = Some(map.next_value()?),
            "priority" => self.priority = Some(map.next_value()?),
            "track" => self.track = Some(map.next_value()?),
            "created_at_us" => self.created_at = Some(map.next_value()?),
            "run_at_us" => self.run_at = map.next_value()?,
            "expires_at_us" => self.expires_at = map.next_value()?,
            "failed_attempts" => self.failed_attempts = Some(map.next_value()?),
            "last_error" => self.last_error = map.next_value()?,
            "max_attempts" => self.max_attempts = map.next_value()?,
            "timeout_ms" => self.timeout_ms = map.next_value()?,
            "unique_key" => self.unique_key = map.next_value()?,
            "unique_for_ms" => self.unique_for_ms = map.next_value()?,
            "tags" => self.tags = map.next_value()?,
            "meta" => self.meta = map.next_value()?,
            _ => {
                let value = map
                    .next_value()
                    .map_err(|e| A::Error::custom(format!("{key}: {e}")))?;
                self.unknown.push((key.to_owned(), value));
            }
        }
        Ok(())
    }

    fn into_job(self, queue: &QueueName, body: &Bytes) -> std::result::Result<Job, String> {
        match self.version {
            Some(VERSION) => {}
            Some(other) => {
                return Err(format!(
                    "version {other} is newer than the {VERSION} known here"
                ));
            }
            None => return Err("field \"v\" is missing".to_owned()),
        }
        let id = self.id.ok_or("field \"id\" is missing")?;
        let task = self.task.ok_or("field \"task\" is missing")?;
        let task = TaskName::new(&task).map_err(|e| e.to_string())?;
        let args = match (self.args, self.data, self.content_type) {
            (Some(args), None, _) => Args::Json(body.slice_ref(args.get().as_bytes())),
            (None, Some(data), Some(content_type)) => {
                let bytes = BASE64
                    .decode(data)
                    .map_err(|e| format!("field \"data\": {e}"))?;
                Args::Data {
                    content_type,
                    bytes: bytes.into(),
                }
            }
            (None, Some(_), None) => {
                return Err("field \"data\" needs a \"content_type\"".to_owned());
            }
            (Some(_), Some(_), _) => return Err("both \"args\" and \"data\" are there".to_owned()),
            (None, None, _) => return Err("field \"args\" is missing".to_owned()),
        };
        let created_at = self.created_at.unwrap_or_default();
        let mut job = Job::new(id, task, args, created_at);
        // The queue it was taken from is the truth; the field is for people who look at the bytes.
        job.queue = queue.clone();
        job.priority = self.priority.unwrap_or_default();
        job.track = self.track.unwrap_or_default();
        job.run_at = self.run_at;
        job.expires_at = self.expires_at;
        job.failed_attempts = self.failed_attempts.unwrap_or(0);
        job.last_error = self.last_error;
        job.max_attempts = self.max_attempts;
        job.timeout = self.timeout_ms.map(Duration::from_millis);
        job.unique = self.unique_key.map(|key| Unique {
            key,
            lasts: Duration::from_millis(self.unique_for_ms.unwrap_or(0)),
        });
        job.tags = self.tags.unwrap_or_default();
        job.meta = self.meta.unwrap_or_default();
        job.unknown = self
            .unknown
            .into_iter()
            .map(|(name, json)| (name, body.slice_ref(json.get().as_bytes())))
            .collect();
        Ok(job)
    }
}
