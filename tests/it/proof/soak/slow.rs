//! Bodies that do not come: a byte now and then, from two addresses, as many as would be all places in flight.

use std::convert::Infallible;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::caller::dial;
use super::{Count, Target};
use crate::proof::caller::answer;

const NAME: &str = "slow bodies";

/// Of each of two addresses.
const BODIES: usize = 96;

/// Holds bodies back until the end. Each is answered that it is too slow, or that there are too many.
pub fn begin(target: Target) -> JoinHandle<Count> {
    std::thread::spawn(move || {
        super::caller::yield_to_others();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut all = JoinSet::new();
            for n in 0..2 * BODIES {
                let from = if n % 2 == 0 { "127.0.0.2" } else { "127.0.0.3" };
                let target = target.clone();
                all.spawn(async move {
                    let mut count = Count::default();
                    while !target.over() {
                        count.note(NAME, hold(&target, from).await);
                    }
                    count
                });
            }
            Count::of(NAME, all.join_all().await)
        })
    })
}

async fn hold(target: &Target, from: &str) -> Result<bool, String> {
    let stream = dial(target, from).await.map_err(|error| error.to_string())?;
    let (mut reader, writer) = tokio::io::split(stream);
    let answered = async {
        tokio::select! {
            read = answer(&mut reader) => read,
            Err(error) = trickle(writer) => Err(error),
        }
    };
    let answered = timeout(Duration::from_secs(30), answered).await.map_err(|_| "never cut".to_owned())?;
    match answered {
        Ok((head, _)) if head.contains(" 408 ") => Ok(true),
        Ok((head, _)) if head.contains(" 503 ") => Ok(false),
        Ok((head, _)) => Err(format!("slow body: {head}")),
        // Closed while a byte was on its way: cut all the same.
        Err(_) => Ok(false),
    }
}

/// Half a body, and then a byte now and then.
async fn trickle(mut writer: impl AsyncWrite + Unpin) -> std::io::Result<Infallible> {
    let head = "POST /validate HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n";
    writer.write_all(&[head.as_bytes(), &vec![b' '; 30_000]].concat()).await?;
    let mut pace = interval(Duration::from_millis(500));
    loop {
        pace.tick().await;
        writer.write_all(b" ").await?;
        writer.flush().await?;
    }
}
