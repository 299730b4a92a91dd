//! What processes of this machine cost, as Linux tells it.

use std::fs;
use std::time::Duration;

use crate::BoxError;

/// Linux counts the time of processes in hundredths of a second, on every architecture.
const TICKS_PER_SECOND: u64 = 100;

/// Returns the processor time of a process and of its children that have ended.
///
/// # Errors
///
/// If there is no such process.
pub fn cpu(pid: u32) -> Result<Duration, BoxError> {
    let stat = stat(pid)?;
    // utime, stime, cutime and cstime: proc(5) numbers them 14 to 17, and `stat` begins with the third.
    let ticks: u64 = stat.iter().skip(11).take(4).filter_map(|it| it.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

/// Returns the processor time of a process, of its children, and of those that have ended.
///
/// # Errors
///
/// If there is no such process.
pub fn cpu_of_family(pid: u32) -> Result<Duration, BoxError> {
    let children = children(pid)?;
    // One that ended meanwhile is counted with its parent from then on.
    Ok(cpu(pid)? + children.into_iter().filter_map(|it| cpu(it).ok()).sum::<Duration>())
}

/// Returns the memory of one process in bytes, where of a page that several share each has its part (PSS).
///
/// # Errors
///
/// If there is no such process, or it is somebody else's.
pub fn part_of_memory(pid: u32) -> Result<u64, BoxError> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    Ok(kilobytes(&rollup, "Pss:")? * 1_024)
}

/// Returns the memory of one process in bytes (RSS).
///
/// # Errors
///
/// If there is no such process.
pub fn memory(pid: u32) -> Result<u64, BoxError> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(kilobytes(&status, "VmRSS:")? * 1_024)
}

fn children(pid: u32) -> Result<Vec<u32>, BoxError> {
    let parent = pid.to_string();
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse() else { continue };
        if stat(pid).is_ok_and(|stat| stat.get(1) == Some(&parent)) {
            children.push(pid);
        }
    }
    Ok(children)
}

/// The fields after the program's name, which may hold anything.
fn stat(pid: u32) -> Result<Vec<String>, BoxError> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("not a stat file")?;
    Ok(fields.split_whitespace().map(ToOwned::to_owned).collect())
}

fn kilobytes(text: &str, field: &str) -> Result<u64, BoxError> {
    let value = text.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}
