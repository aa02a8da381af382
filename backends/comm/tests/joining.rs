//! Who may join a job: ranks that know its key, and nobody else, whatever comes over the network while they meet.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{LONG, free_place, together, world};
use isograd_comm::{CommError, JobKey, Tcp, Transport, World};

const SECRET: &str = "a secret of all ranks";

/// Bytes of the opening of a conversation, and of a proof.
const OPENING: usize = 41;
const PROOF: usize = 32;

fn key(secret: &str) -> Option<JobKey> {
    Some(JobKey::new(secret.as_bytes()).unwrap())
}

/// Joins a rank to the others, and hears from all; how many it turned away.
fn meet(rank: usize, size: usize, place: &str, key: Option<JobKey>) -> Result<usize, CommError> {
    let mut joined = Tcp::connect(&World { key, ..world(rank, size, place) }, LONG)?;
    let word = Arc::new(vec![rank as u8]);
    let heard = joined.exchange(vec![word; size])?;
    assert!(heard.iter().enumerate().all(|(from, bytes)| **bytes == [from as u8]), "{heard:?}");
    Ok(joined.turned_away())
}

/// A connection to a rank that may not listen yet.
fn dial(place: &str) -> TcpStream {
    let began = Instant::now();
    loop {
        match TcpStream::connect(place) {
            Ok(stream) if stream.local_addr().unwrap() != stream.peer_addr().unwrap() => return stream,
            Err(error) if began.elapsed() > LONG => panic!("{place}: {error}"),
            _ => sleep(Duration::from_millis(10)),
        }
    }
}

fn hear(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// How a rank opens a conversation.
fn opening(keyed: bool) -> Vec<u8> {
    [b"isograd\x01", &[u8::from(keyed)][..], &[7; 32]].concat()
}

/// Ranks of a job, of which all but the first come when `meanwhile` has happened: how many each turned away. They do not wait
/// for anybody else.
fn join_after(size: usize, key: &Option<JobKey>, meanwhile: impl Fn(&str) -> Vec<TcpStream> + Sync) -> Vec<usize> {
    let place = free_place();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| meet(0, size, &place, key.clone()).unwrap());
        let still_there = meanwhile(&place);
        let began = Instant::now();
        let others = together(size - 1, |k| meet(k + 1, size, &place, key.clone()).unwrap());
        let turned_away = [vec![first.join().unwrap()], others].concat();
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        drop(still_there);
        turned_away
    })
}

/// All kinds of strangers, of whom some stay.
fn strangers(place: &str, keyed: bool) -> Vec<TcpStream> {
    let after_opening = |text: &[u8]| {
        let mut stream = dial(place);
        stream.write_all(&opening(keyed)).unwrap();
        hear(&mut stream, OPENING + PROOF);
        stream.write_all(text).unwrap();
        stream
    };
    let say = |text: &[u8]| {
        let mut stream = dial(place);
        stream.write_all(text).unwrap();
        stream
    };
    let hello = br#"{"isograd":"0.1.0","rank":1,"size":3,"port":1,"local":true}"#;
    let sized = |length: u32, text: &[u8]| [&length.to_le_bytes()[..], text].concat();
    let proofless = sized(hello.len() as u32, &[&hello[..], &[0; PROOF]].concat());
    // These go again.
    drop(dial(place));
    drop(say(&[255; 64]));
    drop(say(&opening(keyed)[..20]));
    drop(after_opening(&proofless[..30]));
    vec![
        dial(place),
        say(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        say(&sized(hello.len() as u32, hello)),
        say(&opening(keyed)),
        say(&opening(!keyed)),
        after_opening(&sized(u32::MAX, b"")),
        after_opening(&sized(512, b"{")),
        after_opening(&proofless),
    ]
}

const STRANGERS: usize = 12;

#[test]
fn ranks_with_the_same_key_join() {
    for size in 1..=4 {
        let place = free_place();
        let joined = together(size, |rank| meet(rank, size, &place, key(SECRET)).unwrap());
        assert_eq!(joined, vec![0; size]);
    }
}

#[test]
fn strangers_hold_up_nobody_and_are_counted() {
    for key in [key(SECRET), None] {
        let keyed = key.is_some();
        assert_eq!(join_after(3, &key, |place| strangers(place, keyed)), [STRANGERS, 0, 0]);
    }
}

#[test]
fn many_strangers_hold_up_nobody() {
    let crowd = |place: &str| {
        let come = |k| {
            let mut stream = dial(place);
            // Some begin as ranks do. Those that have been there longest are sent away when too many are.
            let _ = if k % 2 == 0 { stream.write_all(&opening(true)) } else { Ok(()) };
            stream
        };
        (0..300).map(come).collect()
    };
    assert_eq!(join_after(3, &key(SECRET), crowd), [300, 0, 0]);
}

#[test]
fn who_announces_a_long_text_is_shown_out_before_it_comes() {
    let announce = |place: &str| {
        let mut stream = dial(place);
        stream.write_all(&opening(true)).unwrap();
        hear(&mut stream, OPENING + PROOF);
        stream.write_all(&513u32.to_le_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        assert_eq!(stream.read(&mut [0; 64]).unwrap(), 0);
        Vec::new()
    };
    assert_eq!(join_after(2, &key(SECRET), announce), [1, 0]);
}

#[test]
fn a_rank_with_another_key_is_told_so_and_ends_nothing() {
    let (own, other) = (key(SECRET), key("the secret of another job"));
    let share = "give every rank of a job the same --job-key FILE or ISOGRAD_JOB_KEY";
    let cases = [
        (&own, &other, "the job key of rank 1 differs from that of rank 0 at"),
        (&own, &None, "has a job key, rank 1 has none"),
        (&None, &own, "rank 1 has a job key, rank 0 at"),
    ];
    for (theirs, ours, expected) in cases {
        let comes = |place: &str| {
            let began = Instant::now();
            let Err(CommError::Key(message)) = meet(1, 2, place, ours.clone()) else { panic!("rank 1 joined") };
            assert!(message.contains(expected) && message.contains(share) && message.contains(place), "{message}");
            assert!(!message.contains("secret"), "{message}");
            assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
            Vec::new()
        };
        assert_eq!(join_after(2, theirs, comes), [1, 0]);
    }
}

#[test]
fn ranks_that_wait_in_vain_say_that_others_came() {
    let place = free_place();
    let ends = together(2, |rank| {
        let key = key([SECRET, "the secret of another job"][rank]);
        Tcp::connect(&World { key, ..world(rank, 2, &place) }, Duration::from_secs(1)).map(|_| ())
    });
    let absent = CommError::Absent { rank: 0, absent: vec![1], seconds: 1, turned_away: 1 };
    assert_eq!(ends[0], Err(absent.clone()));
    assert!(absent.to_string().contains("1 s for rank 1;") && absent.to_string().contains("its job key differs"));
}

#[test]
fn ranks_that_know_the_key_and_do_not_belong_together_are_told_so() {
    let place = free_place();
    let ends = together(2, |rank| meet(rank, 2 + rank, &place, key(SECRET)));
    let told = Err(CommError::Launch("rank 1 was started as one of 3, rank 0 as one of 2".into()));
    assert_eq!(ends, [told.clone(), told]);
}

#[test]
fn without_a_key_ranks_meet_at_a_loopback_address_only() {
    for place in ["0.0.0.0:29400", "node1:29400"] {
        for rank in 0..2 {
            let refused = Tcp::connect(&world(rank, 2, place), LONG).map(|_| ()).unwrap_err();
            assert!(refused.is_input() && refused.to_string().contains("openssl rand -hex 32 > job.key"), "{refused}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn with_a_key_ranks_meet_at_other_addresses() {
    let place = free_place().replace("127.0.0.1", "0.0.0.0");
    assert_eq!(together(3, |rank| meet(rank, 3, &place, key(SECRET)).unwrap()), [0; 3]);
}

#[test]
fn ranks_that_meet_at_a_loopback_address_cannot_be_reached_from_elsewhere() {
    // Nothing is sent: the system says which of its addresses it would use.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("192.0.2.1:9").is_err() {
        return;
    }
    let address = socket.local_addr().unwrap().ip();
    let outside = |place: &str| {
        drop(dial(place));
        let port = place.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
        assert!(address.is_loopback() || TcpStream::connect((address, port)).is_err());
        Vec::new()
    };
    assert_eq!(join_after(2, &None, outside), [1, 0]);
}

/// What both ends of a connection have said: who made it, and who accepted it.
type Said = Arc<Mutex<[Vec<u8>; 2]>>;

/// Passes one connection on, and takes down what is said.
fn relay(to: String) -> (String, Said) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let said = Said::default();
    let record = said.clone();
    std::thread::spawn(move || {
        let (connecting, accepting) = (listener.accept().unwrap().0, dial(&to));
        for (k, from, to) in [(0, &connecting, &accepting), (1, &accepting, &connecting)] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let record = record.clone();
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut bytes) {
                    record.lock().unwrap()[k].extend(&bytes[..count]);
                    let _ = to.write_all(&bytes[..count]);
                }
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    });
    (place, said)
}

/// What ranks 1 and 0 have said to each other while they joined, and then.
fn recorded() -> [Vec<u8>; 2] {
    let place = free_place();
    let (beside, said) = relay(place.clone());
    let joined = together(2, |rank| meet(rank, 2, [&place, &beside][rank], key(SECRET)).unwrap());
    assert_eq!(joined, [0, 0]);
    said.lock().unwrap().clone()
}

#[test]
fn the_secret_is_not_said() {
    let said = recorded().concat();
    let hello = b"\"rank\":1";
    let contains = |text: &[u8]| said.windows(text.len()).any(|part| part == text);
    assert!(contains(hello) && !contains(SECRET.as_bytes()));
}

#[test]
fn what_was_recorded_does_not_let_anybody_in() {
    let [connecting, accepting] = recorded();
    let again = |place: &str| {
        // All at once, and word by word.
        let mut blurted = dial(place);
        blurted.write_all(&connecting).unwrap();
        let mut patient = dial(place);
        patient.write_all(&connecting[..OPENING]).unwrap();
        assert_ne!(hear(&mut patient, OPENING + PROOF), accepting[..OPENING + PROOF]);
        patient.write_all(&connecting[OPENING..]).unwrap();
        // Until it is shown out.
        assert!(!matches!(patient.read(&mut [0; 64]), Ok(1..)), "the recording was answered");
        vec![blurted]
    };
    assert_eq!(join_after(2, &key(SECRET), again), [2, 0]);
    // Nor does it pass for rank 0.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    std::thread::scope(|scope| {
        scope.spawn(|| listener.accept().unwrap().0.write_all(&accepting));
        let end = meet(1, 2, &place, key(SECRET));
        assert!(matches!(&end, Err(CommError::Key(message)) if message.contains("differs")), "{end:?}");
    });
}

#[test]
fn a_rank_is_not_fooled_by_its_own_words() {
    let echo = |place: &str| {
        let [mut one, mut two] = [dial(place), dial(place)];
        one.write_all(&opening(true)).unwrap();
        let first = hear(&mut one, OPENING + PROOF);
        two.write_all(&first[..OPENING]).unwrap();
        let second = hear(&mut two, OPENING + PROOF);
        // What rank 0 has proved is its number.
        let proved = |proof: &[u8]| [&8u32.to_le_bytes()[..], &0u64.to_le_bytes(), proof].concat();
        one.write_all(&proved(&second[OPENING..])).unwrap();
        two.write_all(&proved(&first[OPENING..])).unwrap();
        vec![one, two]
    };
    assert_eq!(join_after(2, &key(SECRET), echo), [2, 0]);
    // Nor by a rendezvous that repeats what it hears.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = listener.accept().unwrap().0;
            let heard = hear(&mut stream, OPENING);
            stream.write_all(&[&heard[..], &heard[OPENING - PROOF..]].concat())
        });
        let end = meet(1, 2, &place, key(SECRET));
        assert!(matches!(&end, Err(CommError::Key(message)) if message.contains("differs")), "{end:?}");
    });
}

#[test]
fn whoever_else_listens_at_the_rendezvous_is_found_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    std::thread::scope(|scope| {
        scope.spawn(|| listener.accept().unwrap().0.write_all(b"SSH-2.0-OpenSSH_9.6\r\n"));
        let end = meet(1, 2, &place, key(SECRET)).unwrap_err().to_string();
        assert!(end.contains("something else than rank 0") && end.contains(&place), "{end}");
    });
}

/// Ranks after the first listen as well, where rank 0 has been told.
#[test]
fn strangers_at_the_other_ranks_hold_up_nobody() {
    let place = free_place();
    let (beside, said) = relay(place.clone());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| meet(0, 3, &place, key(SECRET)).unwrap());
        let second = scope.spawn(|| meet(1, 3, &beside, key(SECRET)).unwrap());
        let began = Instant::now();
        let port: u16 = loop {
            let heard = String::from_utf8_lossy(&said.lock().unwrap()[0]).into_owned();
            if let Some((port, _)) = heard.split_once("\"port\":").and_then(|(_, rest)| rest.split_once(',')) {
                break port.parse().unwrap();
            }
            assert!(began.elapsed() < LONG, "rank 1 does not say where it listens");
            sleep(Duration::from_millis(5));
        };
        let still_there = strangers(&format!("127.0.0.1:{port}"), true);
        let began = Instant::now();
        assert_eq!(meet(2, 3, &place, key(SECRET)), Ok(0));
        assert_eq!([first.join().unwrap(), second.join().unwrap()], [0, STRANGERS]);
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        drop(still_there);
    });
}
