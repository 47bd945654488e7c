use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    thread,
};

/// Starts an HTTP server on this machine and returns its address. `respond` gives the whole response, head and body,
/// for a path; the server lives as long as the test process.
pub(crate) fn serve(respond: impl Fn(&str) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let head: Vec<_> = BufReader::new(&stream)
                .lines()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            let path = head[0].split(' ').nth(1).unwrap();
            // The client hangs up early where it dislikes the response.
            let _ = stream.write_all(&respond(path));
        }
    });
    format!("http://{address}/mirror")
}

/// A successful response that claims `length` bytes and delivers `body`.
pub(crate) fn ok(length: usize, body: &[u8]) -> Vec<u8> {
    let mut response =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").into_bytes();
    response.extend_from_slice(body);
    response
}
