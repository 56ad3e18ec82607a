//! On which processor a lone appender runs.
//!
//! A device interrupts one processor. A thread that waits for it wakes sooner there than elsewhere, on a virtual
//! machine by a third of what an append takes, and where the system puts a thread is chance. So a lone appender,
//! of every engine alike, is held on the processor where raw appends are fastest. Other threads of an engine
//! run where the system puts them, and so do several appenders.

/// The processor on which a lone appender is held, and what was measured to choose it.
pub struct Placement {
    pub processor: usize,
    /// Of each processor the median of a raw append on it, in nanoseconds.
    measured: Vec<(usize, f64)>,
}

impl Placement {
    /// Measures every processor that this program may use; `None` where there is no choice.
    pub fn fastest(mut raw_append_ns: impl FnMut(usize) -> f64) -> Option<Self> {
        const TIMES: usize = 3;
        let processors = usable();
        if processors.len() < 2 {
            return None;
        }
        let mut measured: Vec<_> = processors.into_iter().map(|one| (one, f64::INFINITY)).collect();
        for _ in 0..TIMES {
            for (processor, least) in &mut measured {
                *least = least.min(raw_append_ns(*processor));
            }
        }
        let fastest = measured.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        fastest.map(|(processor, _)| *processor).map(|processor| Self { processor, measured })
    }

    /// Says in a sentence where a lone appender is held, and why there.
    pub fn described(&self) -> String {
        let each = self
            .measured
            .iter()
            .map(|(processor, ns)| format!("{:.0} µs on {processor}", ns / 1e3));
        let each = each.collect::<Vec<_>>().join(", ");
        format!(
            "A lone appender is held on processor {}: a raw append takes {each}.",
            self.processor
        )
    }
}

/// Returns the processors that this program may use, none where the system does not tell.
#[cfg(target_os = "linux")]
pub fn usable() -> Vec<usize> {
    let usable = rustix::thread::sched_getaffinity(None).unwrap();
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|processor| usable.is_set(*processor)).collect()
}

#[cfg(not(target_os = "linux"))]
pub fn usable() -> Vec<usize> {
    Vec::new()
}

/// Holds the calling thread on a processor.
#[cfg(target_os = "linux")]
pub fn hold_on(processor: usize) {
    let mut only = rustix::thread::CpuSet::new();
    only.set(processor);
    rustix::thread::sched_setaffinity(None, &only).unwrap();
}

#[cfg(not(target_os = "linux"))]
pub fn hold_on(_processor: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_with_the_fastest_raw_append_is_chosen() {
        let slow_then_fast = |processor: usize| 1000.0 / (processor + 1) as f64;
        let Some(placement) = Placement::fastest(slow_then_fast) else {
            return assert!(usable().len() < 2);
        };
        assert_eq!(Some(&placement.processor), usable().last());
        assert!(placement.described().contains("on 0"), "{}", placement.described());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_is_held_on_one_processor() {
        let last = *usable().last().unwrap();
        std::thread::spawn(move || {
            hold_on(last);
            assert_eq!(usable(), [last]);
        })
        .join()
        .unwrap();
    }
}
