//! Which queue has which lanes, and how lanes are named.

use std::collections::BTreeMap;

use crate::{Error, ErrorKind, MAX_NAME_BYTES, Priority, QueueName, Result};

/// The most lanes that a queue may have.
pub const MAX_LANES: u8 = 10;

/// How many priorities there are.
const PRIORITIES: usize = Priority::MAX.get() as usize + 1;

/// Bytes kept free in the name of a queue for `:high10`.
const SUFFIX_BYTES: usize = 8;

/// Bytes of the hash that stands for the end of a name that is too long for a suffix.
const HASH_BYTES: usize = 16;

/// The lanes of one queue, from the least urgent to the most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lanes {
    weights: Vec<u32>,
    weighted: bool,
}

impl Lanes {
    /// Lanes of which the most urgent always comes first.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for fewer than two lanes or more than ten.
    pub fn strict(count: u8) -> Result<Self> {
        Self::new(vec![1; usize::from(count)], false)
    }

    /// Lanes that share by weight, given from the least urgent to the most, so that none starves.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for fewer than two lanes or more than ten, and for a weight of 0.
    pub fn weighted(weights: Vec<u32>) -> Result<Self> {
        Self::new(weights, true)
    }

    fn new(weights: Vec<u32>, weighted: bool) -> Result<Self> {
        let count = weights.len();
        if !(2..=usize::from(MAX_LANES)).contains(&count) {
            let text = format!("{count} lanes; a queue has 2 to {MAX_LANES}");
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        if weights.contains(&0) {
            let text = "a lane of weight 0 would never be served; the least is 1";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        Ok(Self { weights, weighted })
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.weights.len()
    }

    /// The weights, where the lanes share by weight.
    #[must_use]
    pub fn weights(&self) -> Option<&[u32]> {
        self.weighted.then_some(&self.weights)
    }

    /// The lane of a priority, from 0, the least urgent.
    fn of(&self, priority: Priority) -> usize {
        usize::from(priority.get()) * self.count() / PRIORITIES
    }
}

/// Which queue has which lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LanePlan {
    named: BTreeMap<QueueName, Option<Lanes>>,
    others: Option<Lanes>,
    /// The lanes of the named queues, with their queues.
    queues: BTreeMap<QueueName, QueueName>,
}

impl LanePlan {
    /// A plan in which no queue has lanes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One queue has these lanes, or none.
    #[must_use]
    pub fn queue(mut self, queue: QueueName, lanes: Option<Lanes>) -> Self {
        let names = lanes.as_ref().map(|lanes| names(&queue, lanes));
        for name in names.into_iter().flatten() {
            self.queues.insert(name, queue.clone());
        }
        self.named.insert(queue, lanes);
        self
    }

    /// All queues that are not named have these lanes.
    #[must_use]
    pub fn others(mut self, lanes: Lanes) -> Self {
        self.others = Some(lanes);
        self
    }

    /// Whether any queue has lanes.
    #[must_use]
    pub fn has_lanes(&self) -> bool {
        self.others.is_some() || self.named.values().any(Option::is_some)
    }

    /// The lanes of a queue, if it has any.
    #[must_use]
    pub fn lanes_of(&self, queue: &QueueName) -> Option<&Lanes> {
        match self.named.get(queue) {
            Some(lanes) => lanes.as_ref(),
            None => self.others.as_ref(),
        }
    }

    /// The priorities that every queue tells apart, over a broker that tells `inner` apart.
    pub(super) fn levels(&self, inner: u8) -> u8 {
        let lanes = |lanes: &Lanes| u8::try_from(lanes.count()).unwrap_or(MAX_LANES);
        // Strict lanes take nothing from what the broker does within each; lanes by weight do.
        let levels = |it: &Lanes| match it.weighted {
            true => lanes(it),
            false => lanes(it).max(inner),
        };
        let named = self
            .named
            .values()
            .map(|it| it.as_ref().map_or(inner, levels));
        let others = self.others.as_ref().map_or(inner, levels);
        // A queue without lanes on purpose is no reason to say that there are no priorities.
        match &self.others {
            Some(_) => others,
            None => named.fold(others, u8::min),
        }
    }

    /// The names of a queue's lanes, from the least urgent to the most.
    pub(super) fn lanes(&self, queue: &QueueName) -> Vec<QueueName> {
        match self.lanes_of(queue) {
            Some(lanes) => names(queue, lanes),
            None => vec![queue.clone()],
        }
    }

    /// The lane that messages of a priority go to.
    pub(super) fn lane_of(&self, queue: &QueueName, priority: Priority) -> QueueName {
        match self.lanes_of(queue) {
            Some(lanes) => name(queue, lanes, lanes.of(priority)),
            None => queue.clone(),
        }
    }

    /// The queue that a lane belongs to, if the name is that of a lane and of no queue.
    pub(super) fn queue_of(&self, lane: &QueueName) -> Option<QueueName> {
        if let Some(queue) = self.queues.get(lane) {
            return (queue != lane).then(|| queue.clone());
        }
        // Lanes that were taken away are not offered as queues either.
        let queue = QueueName::new(stem(lane.as_str())?).ok()?;
        self.lanes_of(&queue).is_some().then_some(queue)
    }

    /// Refuses a queue by the name of a lane.
    pub(super) fn check(&self, queue: &QueueName) -> Result<()> {
        match self.queue_of(queue) {
            None => Ok(()),
            Some(of) => {
                let text = format!("{queue:?} is the name of a lane of the queue {of:?}");
                Err(Error::new(ErrorKind::InvalidArgument, text))
            }
        }
    }

    /// What happened on a lane happened on its queue.
    pub(super) fn of_queue(&self, error: Error) -> Error {
        match error.queue().and_then(|lane| self.queue_of(lane)) {
            Some(queue) => error.of_queue(&queue),
            None => error,
        }
    }
}

fn names(queue: &QueueName, lanes: &Lanes) -> Vec<QueueName> {
    let lane = |lane| name(queue, lanes, lane);
    (0..lanes.count()).map(lane).collect()
}

/// The name of a lane. Stable: it depends on how far the lane is from the default priority's, so that adding
/// lanes renames none.
fn name(queue: &QueueName, lanes: &Lanes, lane: usize) -> QueueName {
    let middle = lanes.of(Priority::DEFAULT);
    let suffix = match lane.cmp(&middle) {
        std::cmp::Ordering::Less => format!(":low{}", middle - lane),
        std::cmp::Ordering::Equal => return queue.clone(),
        std::cmp::Ordering::Greater => format!(":high{}", lane - middle),
    };
    let queue = queue.as_str();
    let text = if queue.len() + SUFFIX_BYTES <= MAX_NAME_BYTES {
        format!("{queue}{suffix}")
    } else {
        let hash = blake3::hash(queue.as_bytes()).to_hex();
        // Names are ASCII, so every byte is a boundary.
        let start = &queue[..MAX_NAME_BYTES - SUFFIX_BYTES - HASH_BYTES - 1];
        format!("{start}:{}{suffix}", &hash[..HASH_BYTES])
    };
    // Cannot fail: of allowed characters, and short enough.
    QueueName::new(text).unwrap_or_default()
}

/// What stands before the suffix of a lane, in a name that has one.
fn stem(name: &str) -> Option<&str> {
    let (stem, suffix) = name.rsplit_once(':')?;
    let number = suffix
        .strip_prefix("high")
        .or_else(|| suffix.strip_prefix("low"))?;
    let is_lane =
        matches!(number.parse::<u8>(), Ok(1..=MAX_LANES)) && !number.starts_with(['0', '+']);
    is_lane.then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    fn all(count: u8) -> LanePlan {
        LanePlan::new().others(Lanes::strict(count).unwrap())
    }

    fn shown(plan: &LanePlan, name: &str) -> Vec<String> {
        let lanes = plan.lanes(&queue(name));
        lanes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn adding_lanes_renames_none_and_the_default_priority_stays_in_the_queue_itself() {
        assert_eq!(shown(&all(2), "mail"), ["mail", "mail:high1"]);
        assert_eq!(shown(&all(3), "mail"), ["mail:low1", "mail", "mail:high1"]);
        for count in 2..=MAX_LANES {
            let (few, more) = (shown(&all(count), "mail"), shown(&all(MAX_LANES), "mail"));
            assert!(few.iter().all(|lane| more.contains(lane)), "{few:?}");
            let default = all(count).lane_of(&queue("mail"), Priority::DEFAULT);
            assert_eq!(default, queue("mail"));
        }
    }

    #[test]
    fn higher_priorities_never_go_to_lower_lanes_and_every_lane_is_used() {
        for count in 2..=MAX_LANES {
            let lanes = Lanes::strict(count).unwrap();
            let of = |p| lanes.of(Priority::new(p).unwrap());
            assert!((0..100).all(|p| of(p) <= of(p + 1)));
            assert_eq!((of(0), of(100)), (0, usize::from(count) - 1));
        }
    }

    #[test]
    fn a_name_of_a_lane_is_no_name_for_a_queue_where_its_queue_has_lanes() {
        let plan = LanePlan::new().queue(queue("mail"), Some(Lanes::strict(3).unwrap()));
        for taken in ["mail:high1", "mail:low1", "mail:high9"] {
            assert_eq!(plan.queue_of(&queue(taken)), Some(queue("mail")), "{taken}");
            let refused = plan.check(&queue(taken)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        }
        for free in [
            "mail",
            "mail:high",
            "mail:high01",
            "mail:high99",
            "other:high1",
            "mail.low1",
        ] {
            plan.check(&queue(free)).unwrap();
        }
    }

    #[test]
    fn long_names_have_lanes_too_and_keep_apart() {
        let plan = all(3);
        let long = |end: &str| format!("{}{end}", "q".repeat(MAX_NAME_BYTES - 1));
        let (one, other) = (shown(&plan, &long("a")), shown(&plan, &long("b")));
        assert!(one.iter().all(|lane| !other.contains(lane)));
        let plan = LanePlan::new().queue(queue(&long("a")), Some(Lanes::strict(3).unwrap()));
        for lane in &one[..1] {
            assert_eq!(plan.queue_of(&queue(lane)), Some(queue(&long("a"))));
        }
    }

    #[test]
    fn the_levels_are_those_of_every_queue() {
        let three = Lanes::strict(3).unwrap();
        let weighted = Lanes::weighted(vec![1, 2]).unwrap();
        assert_eq!(all(3).levels(1), 3);
        assert_eq!(all(3).queue(queue("quick"), None).levels(1), 3);
        assert_eq!(
            LanePlan::new().queue(queue("mail"), Some(three)).levels(1),
            1
        );
        assert_eq!(
            LanePlan::new()
                .queue(queue("mail"), Some(weighted))
                .levels(101),
            2
        );
        assert_eq!(all(3).levels(101), 101);
    }
}
