//! CRC-32 (IEEE) and CRC-64 (ECMA-182), eight bytes at a time.

const fn table32() -> [[u32; 256]; 8] {
    let mut t = [[0; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut c = i as u32;
        let mut bit = 0;
        while bit < 8 {
            c = if c & 1 != 0 {
                c >> 1 ^ 0xedb8_8320
            } else {
                c >> 1
            };
            bit += 1;
        }
        t[0][i] = c;
        i += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut i = 0;
        while i < 256 {
            let c = t[k - 1][i];
            t[k][i] = c >> 8 ^ t[0][(c & 0xff) as usize];
            i += 1;
        }
        k += 1;
    }
    t
}

const fn table64() -> [u64; 256] {
    let mut t = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut c = i as u64;
        let mut bit = 0;
        while bit < 8 {
            c = if c & 1 != 0 {
                c >> 1 ^ 0xc96c_5795_d787_0f42
            } else {
                c >> 1
            };
            bit += 1;
        }
        t[i] = c;
        i += 1;
    }
    t
}

static T32: [[u32; 256]; 8] = table32();
static T64: [u64; 256] = table64();

/// CRC-32 as in gzip, xz and zip.
pub fn crc32(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    let (chunks, rest) = data.as_chunks::<8>();
    for chunk in chunks {
        let v = u64::from_le_bytes(*chunk) ^ u64::from(crc);
        let byte = |n: u32| (v >> (n * 8)) as u8 as usize;
        crc = T32[7][byte(0)]
            ^ T32[6][byte(1)]
            ^ T32[5][byte(2)]
            ^ T32[4][byte(3)]
            ^ T32[3][byte(4)]
            ^ T32[2][byte(5)]
            ^ T32[1][byte(6)]
            ^ T32[0][byte(7)];
    }
    for &byte in rest {
        crc = crc >> 8 ^ T32[0][usize::from(crc as u8 ^ byte)];
    }
    !crc
}

/// CRC-64 as in xz.
pub fn crc64(data: &[u8]) -> u64 {
    let crc = data.iter().fold(u64::MAX, |crc, &byte| {
        crc >> 8 ^ T64[usize::from(crc as u8 ^ byte)]
    });
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values_of_the_catalogues() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc64(b"123456789"), 0x995d_c9bb_df19_39fa);
    }
}
