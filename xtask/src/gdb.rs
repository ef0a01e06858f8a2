//! The little of gdb's remote protocol that stops a virtual machine at an address.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A connection to QEMU's gdb stub. The machine is stopped between the calls.
pub struct Stub {
    stream: TcpStream,
}

impl Stub {
    /// Connects to the stub on 127.0.0.1.
    pub fn connect(port: u16) -> Result<Self> {
        let began = Instant::now();
        loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(Duration::from_secs(300)))?;
                    return Ok(Self { stream });
                }
                Err(error) if began.elapsed() > Duration::from_secs(10) => {
                    return Err(error).context("no gdb stub");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Runs the machine until its next instruction is at the address (virtual, where paging is on).
    pub fn run_to(&mut self, address: u64) -> Result<()> {
        self.expect_ok(&format!("Z1,{address:x},1"))?;
        let stop = self.request("c")?;
        if !stop.starts_with('T') && !stop.starts_with('S') {
            bail!("the machine ended before it reached {address:#x}: {stop}");
        }
        self.expect_ok(&format!("z1,{address:x},1"))
    }

    /// Lets the machine run freely.
    pub fn detach(mut self) -> Result<()> {
        self.expect_ok("D")
    }

    fn expect_ok(&mut self, command: &str) -> Result<()> {
        match self.request(command)?.as_str() {
            "OK" => Ok(()),
            answer => bail!("gdb stub: {command} gives {answer:?}"),
        }
    }

    fn request(&mut self, command: &str) -> Result<String> {
        self.stream.write_all(packet(command).as_bytes())?;
        let mut answer = Vec::new();
        loop {
            match self.byte()? {
                b'$' => answer.clear(),
                b'#' => break,
                byte => answer.push(byte),
            }
        }
        // The checksum; TCP has already protected the bytes.
        self.byte()?;
        self.byte()?;
        self.stream.write_all(b"+")?;
        Ok(String::from_utf8_lossy(&answer)
            .trim_start_matches('+')
            .to_owned())
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.stream
            .read_exact(&mut byte)
            .context("the gdb stub does not answer")?;
        Ok(byte[0])
    }
}

fn packet(command: &str) -> String {
    let sum = command.bytes().fold(0u8, u8::wrapping_add);
    format!("${command}#{sum:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_have_their_checksum() {
        assert_eq!(packet("c"), "$c#63");
        assert_eq!(packet("OK"), "$OK#9a");
    }
}
