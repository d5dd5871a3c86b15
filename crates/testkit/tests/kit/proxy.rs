use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mailfleet_testkit::{Cut, Proxy, ProxyMode, RedisCluster, RedisServer, eventually_blocking};

use crate::PATIENCE;

/// Long enough to see that nothing comes.
const SILENCE: Duration = Duration::from_millis(300);

/// A server that says each byte back, and how many it has got.
struct Echo {
    port: u16,
    got: Arc<AtomicUsize>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&got);
        // They end with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, got) = (stream.unwrap(), Arc::clone(&counted));
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(length) = stream.read(&mut bytes)
                        && length > 0
                    {
                        got.fetch_add(length, Ordering::SeqCst);
                        if stream.write_all(&bytes[..length]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, got }
    }

    fn got(&self) -> usize {
        self.got.load(Ordering::SeqCst)
    }
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Says something and gives the answer; an error also where the connection was closed.
fn ask(stream: &mut TcpStream, text: &str) -> std::io::Result<String> {
    stream.write_all(text.as_bytes())?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8(answer).unwrap())
}

/// Whether the other end has closed it, in peace or not.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 16]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

fn says_nothing(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let silent = stream.read(&mut [0; 16]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    silent
}

#[test]
fn a_proxy_passes_everything_on_in_both_directions_and_a_half_closed_connection_gets_its_answer() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.port).unwrap();
    let mut stream = connect(&proxy);
    let text = "0123456789".repeat(100_000);
    let mut writer = stream.try_clone().unwrap();
    let said = text.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(said.as_bytes()).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    writing.join().unwrap();
    assert!(answer == text, "{} bytes came back of {}", answer.len(), text.len());
    eventually_blocking("no connection", PATIENCE, || (proxy.connections() == 0).then_some(()));
}

#[test]
fn a_slow_proxy_delays_each_chunk_and_holds_to_its_rate() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.port).unwrap();
    let mut stream = connect(&proxy);
    ask(&mut stream, "quick").unwrap();

    proxy.set(ProxyMode::Slow { delay: Duration::from_millis(100), bytes_per_second: None });
    let begun = Instant::now();
    assert_eq!(ask(&mut stream, "slow").unwrap(), "slow");
    assert!(begun.elapsed() >= Duration::from_millis(200), "there and back: {:?}", begun.elapsed());

    proxy.set(ProxyMode::Slow { delay: Duration::ZERO, bytes_per_second: NonZeroU64::new(10_000) });
    let begun = Instant::now();
    ask(&mut stream, &"x".repeat(2_000)).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(400), "there and back: {:?}", begun.elapsed());

    // It reaches what waits already.
    proxy.set(ProxyMode::Slow { delay: Duration::from_secs(600), bytes_per_second: None });
    stream.write_all(b"late").unwrap();
    assert!(says_nothing(&mut stream));
    proxy.set(ProxyMode::Pass);
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"late");
}

#[test]
fn a_half_open_proxy_accepts_and_is_silent_and_closes_whom_it_deceived_when_it_ends() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.port).unwrap();
    let mut before = connect(&proxy);
    ask(&mut before, "there").unwrap();
    let got = echo.got();

    proxy.set(ProxyMode::HalfOpen);
    let mut during = connect(&proxy);
    for stream in [&mut before, &mut during] {
        stream.write_all(b"anybody?").unwrap();
        assert!(says_nothing(stream));
    }
    assert_eq!(echo.got(), got, "the server sees nothing of it");
    assert_eq!(proxy.swallowed(), 16);
    // Who gives up is not kept.
    drop(connect(&proxy));
    eventually_blocking("two connections", PATIENCE, || (proxy.connections() == 2).then_some(()));

    proxy.set(ProxyMode::Pass);
    assert!(is_closed(&mut before) && is_closed(&mut during), "bytes are missing in them");
    assert_eq!(ask(&mut connect(&proxy), "again").unwrap(), "again");
}

#[test]
fn a_proxy_that_refuses_closes_what_is_open_and_what_comes_until_it_passes_again() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.port).unwrap();
    let mut before = connect(&proxy);
    ask(&mut before, "there").unwrap();
    proxy.set(ProxyMode::Refuse);
    assert!(is_closed(&mut before));
    assert!(is_closed(&mut connect(&proxy)));
    proxy.set(ProxyMode::Pass);
    let mut after = connect(&proxy);
    assert_eq!(ask(&mut after, "again").unwrap(), "again");
    proxy.close_all();
    assert!(is_closed(&mut after));
    assert_eq!(ask(&mut connect(&proxy), "and again").unwrap(), "and again");
}

#[test]
fn a_cut_before_the_request_keeps_it_from_the_server() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.port).unwrap();
    let (mut one, mut other) = (connect(&proxy), connect(&proxy));
    ask(&mut one, "a").unwrap();
    ask(&mut other, "b").unwrap();
    assert_eq!(proxy.requests(), 2);
    proxy.cut_at(3, Cut::BeforeRequest);
    ask(&mut one, "c").unwrap();
    ask(&mut other, "d").unwrap();
    assert!(proxy.is_armed());
    assert!(ask(&mut one, "e").is_err(), "the third from then on, of whichever connection");
    assert!(is_closed(&mut other), "nobody goes on");
    assert_eq!((echo.got(), proxy.requests(), proxy.is_armed()), (4, 3, false));
    assert!(is_closed(&mut connect(&proxy)), "until it is set again");
    proxy.set(ProxyMode::Pass);
    assert_eq!(ask(&mut connect(&proxy), "f").unwrap(), "f");
}

#[tokio::test]
async fn a_cut_before_the_reply_lets_the_server_work_and_the_client_learn_nothing_of_it() {
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::start(redis.port()).unwrap();
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", proxy.port())).unwrap();
    let mut through = client.get_multiplexed_async_connection().await.unwrap();
    proxy.cut_at(2, Cut::BeforeReply);
    let first: Result<u64, _> = redis::cmd("INCR").arg("n").query_async(&mut through).await;
    assert_eq!(first.unwrap(), 1);
    let second: Result<u64, _> = redis::cmd("INCR").arg("n").query_async(&mut through).await;
    assert!(second.unwrap_err().is_connection_dropped());
    let stored: u64 = redis::cmd("GET").arg("n").query_async(&mut redis.connection().await).await.unwrap();
    assert_eq!(stored, 2, "it was done");
    assert!(!proxy.is_armed());
}

#[tokio::test]
async fn the_nodes_of_a_cluster_are_seen_at_the_proxys_ports_alone_and_cut_off_as_one() {
    let nodes = RedisCluster::start(3, 0, &[]).unwrap().into_nodes();
    let real: Vec<u16> = nodes.iter().map(RedisServer::port).collect();
    let proxy = Proxy::start_before_cluster(&real).unwrap();
    let mut through = Vec::new();
    for port in proxy.ports() {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        through.push(client.get_multiplexed_async_connection().await.unwrap());
    }
    // Where they say that the slots are, and where the one of this key is.
    for connection in &mut through {
        let slots: redis::Value = redis::cmd("CLUSTER").arg("SLOTS").query_async(connection).await.unwrap();
        let said = format!("{slots:?}");
        let tells = |port: &u16| said.contains(&format!("int({port})"));
        assert!(proxy.ports().iter().all(tells) && !real.iter().any(tells), "{said}");
        let found: Result<Option<String>, _> = redis::cmd("GET").arg("k").query_async(connection).await;
        if let Err(moved) = found {
            let (address, _) = moved.redirect_node().unwrap();
            let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
            assert!(proxy.ports().contains(&port), "{moved}");
        }
    }
    // What is cut is counted over all of them.
    proxy.cut_at(2, Cut::BeforeRequest);
    let ping = async |connection: &mut redis::aio::MultiplexedConnection| {
        redis::cmd("PING").query_async::<String>(connection).await.is_ok()
    };
    assert!(ping(&mut through[0]).await);
    assert!(!ping(&mut through[1]).await);
    assert!(!ping(&mut through[2]).await && !ping(&mut through[0]).await, "nobody goes on");
}

#[test]
fn a_server_that_stands_still_keeps_no_proxy_from_ending() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap().port()).unwrap();
    let mut stream = connect(&proxy);
    stream.set_write_timeout(Some(SILENCE)).unwrap();
    // Nobody reads: at some point nothing more fits in between.
    while stream.write_all(&[0; 8_192]).is_ok() {}
    let port = proxy.port();
    let begun = Instant::now();
    drop(proxy);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(is_closed(&mut stream));
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "nothing listens any more");
}
