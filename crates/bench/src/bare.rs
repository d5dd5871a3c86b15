//! What Redis itself carries: the same jobs by the fewest plain commands that a queue on streams can do with. No promise is
//! kept: nothing looks who owns an entry, whether a job is there already, or how full a lane is. Whatever a queue on one
//! Redis reaches lies below this.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use redis::aio::MultiplexedConnection;

use crate::throughput::{Throughput, per_second};
use crate::{cpu, jobs, server};

/// Jobs in one pipeline, as many as one script of ours enqueues.
const PIPELINE: u64 = 200;
/// Entries of one read.
const READ: usize = 500;
const STREAM: &str = "{bare}:stream";
const LIVE: &str = "{bare}:live";

/// What XREADGROUP gives for a stream: its key, and ids with flat fields.
type Read = Vec<(String, Vec<(String, Vec<Vec<u8>>)>)>;

/// One round on a fresh Redis.
pub(crate) async fn measure(jobs: u64) -> Result<Throughput> {
    let server = server::redis()?;
    let pid = server.pid().context("Redis has no process")?;
    let mut connection = server.connection().await;
    let mut create = redis::cmd("XGROUP");
    create.arg("CREATE").arg(STREAM).arg("bare").arg("0").arg("MKSTREAM");
    create.query_async::<()>(&mut connection).await?;
    let before = cpu::of(pid)?;
    let begun = Instant::now();
    enqueue(&connection, jobs).await?;
    let add = per_second(jobs, begun.elapsed());
    let begun = Instant::now();
    drain(&connection, jobs).await?;
    let process = per_second(jobs, begun.elapsed());
    Ok(Throughput { add, process, redis_micros: cpu::micros_each(cpu::since(pid, before)?, jobs) })
}

/// An entry for each job, and for all jobs of a pipeline at once the marks that they are there.
async fn enqueue(connection: &MultiplexedConnection, jobs: u64) -> Result<()> {
    let raw = jobs::raw();
    let mut under_way = tokio::task::JoinSet::new();
    let mut next = 0;
    while next < jobs || !under_way.is_empty() {
        while next < jobs && under_way.len() < jobs::AT_ONCE {
            let end = jobs.min(next + PIPELINE);
            let mut pipeline = redis::pipe();
            let mut marks = redis::cmd("HSET");
            marks.arg(LIVE);
            for n in next..end {
                let job = jobs::job(n, &raw)?;
                let id = job.job_id();
                pipeline.cmd("XADD").arg(STREAM).arg("*").arg("j").arg(id.as_str());
                pipeline.arg("e").arg(job.envelope.encode()).arg("r").arg(raw.as_ref()).ignore();
                marks.arg(id.as_str()).arg("Q");
            }
            pipeline.add_command(marks).ignore();
            let mut connection = connection.clone();
            under_way.spawn(async move { pipeline.query_async::<()>(&mut connection).await });
            next = end;
        }
        if let Some(answered) = under_way.join_next().await {
            answered??;
        }
    }
    Ok(())
}

/// Reads, acknowledges and deletes; the next read goes beside the settling of the last.
async fn drain(connection: &MultiplexedConnection, jobs: u64) -> Result<()> {
    let mut settling = tokio::task::JoinSet::new();
    let (mut reader, mut done) = (connection.clone(), 0);
    while done < jobs {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg("bare").arg("me").arg("COUNT").arg(READ).arg("STREAMS").arg(STREAM).arg(">");
        let read: Option<Read> = read.query_async(&mut reader).await?;
        let (_, entries) = read.and_then(|mut read| read.pop()).context("nothing to read")?;
        done += entries.len() as u64;
        let mut pipeline = redis::pipe();
        let ids: Vec<&str> = entries.iter().map(|(id, _)| id.as_str()).collect();
        let marks: Vec<&[u8]> =
            entries.iter().filter_map(|(_, fields)| fields.get(1)).map(Vec::as_slice).collect();
        pipeline.cmd("XACK").arg(STREAM).arg("bare").arg(&ids).ignore();
        pipeline.cmd("XDEL").arg(STREAM).arg(&ids).ignore();
        pipeline.cmd("HDEL").arg(LIVE).arg(&marks).ignore();
        let mut connection = connection.clone();
        settling.spawn(async move { pipeline.query_async::<()>(&mut connection).await });
        if settling.len() > 2
            && let Some(settled) = settling.join_next().await
        {
            settled??;
        }
    }
    while let Some(settled) = settling.join_next().await {
        settled??;
    }
    let mut connection = connection.clone();
    let left: u64 = redis::cmd("XLEN").arg(STREAM).query_async(&mut connection).await?;
    ensure!(left == 0, "{left} entries are left");
    Ok(())
}
