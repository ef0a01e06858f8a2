//! Whole builds over simulated RAM.

use std::vec::Vec;

use arch::frame::RawFrame;
use hypercall_abi::xen::{Dom0VgaConsoleInfo, XEN_VGATYPE_TEXT_MODE_3};
use zerocopy::{FromBytes, FromZeros};

use super::*;
use crate::loader::sample::{bzimage, elf, linux_notes};
use crate::mm::{self, Pte};
use crate::simulated;

/// First frame of the ramdisk; the frames from here on are kept from the allocator.
const RAMDISK: u64 = 0x200;

/// A machine of `mib` MiB; the ramdisk's frames lie in the second MiB.
fn machine(mib: u64) {
    let frames = mib * 256;
    simulated::switch_on(mm::Layout {
        free: core::iter::once(0x400..frames).collect(),
        dirty: true,
        ..simulated::layout(frames)
    });
}

struct Case {
    image: Vec<u8>,
    options: Options,
    ramdisk: u64,
}

impl Case {
    fn new(options: &str) -> Self {
        Self {
            image: elf(&linux_notes(), b"code"),
            options: Options::parse(options),
            ramdisk: 5000,
        }
    }

    fn request(&self) -> Request<'_> {
        Request {
            image: &self.image,
            command_line: "root=/dev/ram0 quiet",
            ramdisk: Some(Module {
                start: Mfn::new(RAMDISK).addr(),
                len: self.ramdisk,
            }),
            options: &self.options,
            cpus: 2,
            screen: None,
            efi: false,
        }
    }

    fn build(&self) -> Result<Built, BuildError> {
        let domain = build(&self.request())?;
        Ok(Built { domain })
    }
}

struct Built {
    domain: Arc<Domain>,
}

impl Built {
    /// vCPU 0's first general registers.
    fn regs(&self) -> arch::entry::TrapFrame {
        self.domain.vcpu(0).expect("there").pv().state().frame
    }

    /// vCPU 0's page tables.
    fn l4(&self) -> Mfn {
        let state = self.domain.vcpu(0).expect("there").pv().state();
        state.tables.kernel().expect("set")
    }

    fn frame(&self, mfn: Mfn) -> RawFrame {
        mm::get_page(mfn, self.domain.id).expect("dom0's").frame()
    }

    /// Walks dom0's tables: the leaf entry.
    fn leaf(&self, address: u64) -> Option<Pte> {
        let mut table = self.l4();
        for shift in [39, 30, 21, 12] {
            let entry = Pte(self
                .frame(table)
                .read_u64((address >> shift & 511) as usize * 8));
            if !entry.present() {
                return None;
            }
            if shift == 12 {
                return Some(entry);
            }
            table = entry.mfn();
        }
        None
    }

    fn read(&self, address: u64, out: &mut [u8]) {
        for (i, byte) in out.iter_mut().enumerate() {
            let at = address + i as u64;
            let leaf = self.leaf(at).expect("mapped");
            *byte = self.frame(leaf.mfn()).read_u8((at & 0xfff) as usize);
        }
    }

    fn value<T: FromBytes + FromZeros + IntoBytes>(&self, address: u64) -> T {
        let mut value = T::new_zeroed();
        self.read(address, value.as_mut_bytes());
        value
    }

    fn start_info(&self) -> StartInfo {
        self.value(self.regs().rsi)
    }

    fn p2m(&self, pfn: u64) -> Mfn {
        Mfn::new(self.value(self.start_info().mfn_list + pfn * 8))
    }
}

#[test]
fn a_domain_is_laid_out_as_the_abi_says() {
    machine(64);
    for i in 0..5000 {
        let frame = raw(RAMDISK + i / 4096);
        frame.write_u8(i as usize % 4096, i as u8 ^ 0x5a);
    }
    let case = Case::new("dom0_mem=32M,max:48M dom0_max_vcpus=3");
    let built = case.build().expect("builds");
    let domain = &built.domain;
    assert!(domain.privileged);
    assert_eq!(domain.mem.tot_pages(), 32 * 256);
    assert_eq!(domain.mem.max_pages(), 48 * 256);
    assert_eq!(domain.vcpus().len(), 3);
    let boot = domain.vcpu(0).expect("there");
    assert!(boot.runnable() && !domain.vcpu(1).expect("there").runnable());

    let info = built.start_info();
    assert!(info.magic.starts_with(b"xen-3.0-x86_64\0"));
    assert_eq!(info.nr_pages, 32 * 256);
    assert_eq!(info.shared_info, domain.shared_info.mfn().addr().get());
    assert_eq!(
        info.flags,
        SIF_PRIVILEGED | SIF_INITDOMAIN | SIF_MOD_START_PFN
    );
    assert!(info.cmd_line.starts_with(b"root=/dev/ram0 quiet\0"));
    assert_eq!(info.mfn_list, 0x80_0000_0000);
    assert_eq!(info.mod_len, 5000);

    // Registers.
    let regs = built.regs();
    assert_eq!(regs.rip, 0xffff_ffff_8010_0040);
    assert_eq!((regs.cs, regs.ss), (0xe033, 0xe02b));
    assert_eq!(boot.pv().state().iopl, 0);
    assert_eq!(regs.rsp, info.pt_base + (info.nr_pt_frames + 1) * 4096);

    // The kernel, its zeroes, its hypercall page (stub 64: push rcx, push r11, mov eax, 64).
    let mut code = [0; 8];
    built.read(0xffff_ffff_8010_0000, &mut code);
    assert_eq!(&code, b"code\xab\xab\xab\xab");
    assert_eq!(built.value::<u64>(0xffff_ffff_8010_2800), 0);
    assert_eq!(built.value::<u64>(0xffff_ffff_8020_0ff8), 0);
    assert_eq!(built.value::<u64>(0xffff_ffff_8010_1800), 0x40_b853_4151);

    // Every page of the list is dom0's, once, and the machine-to-phys table is its inverse.
    let mut seen = std::collections::HashSet::new();
    for pfn in 0..info.nr_pages {
        let mfn = built.p2m(pfn);
        built.frame(mfn);
        assert!(seen.insert(mfn.get()), "{mfn} twice");
        assert_eq!(host().mm.m2p.get(mfn), Gfn::new(pfn));
    }

    // The initial mapping is linear from page 0 on, ends on 4 MiB, and leaves room behind the stack.
    let start = 0xffff_ffff_8000_0000u64;
    let mut end = start;
    while let Some(leaf) = built.leaf(end) {
        let pfn = (end - start) / 4096;
        assert_eq!(leaf.mfn(), built.p2m(pfn));
        let is_table = (info.pt_base..info.pt_base + info.nr_pt_frames * 4096).contains(&end);
        assert_eq!(leaf.writable(), !is_table, "{end:#x}");
        end += 4096;
    }
    assert_eq!(end % (4 << 20), 0);
    assert!(end - regs.rsp >= 512 << 10);
    assert_eq!(built.leaf(info.pt_base).expect("mapped").mfn(), built.l4());

    // The ramdisk's frames are the boot loader's, behind the mapping, and clean behind the file.
    assert_eq!(info.mod_start, (end - start) / 4096);
    assert_eq!(built.p2m(info.mod_start).get(), RAMDISK);
    assert_eq!(built.p2m(info.mod_start + 1).get(), RAMDISK + 1);
    assert_eq!(raw(RAMDISK + 1).read_u8(903), 4999u32 as u8 ^ 0x5a);
    assert_eq!(raw(RAMDISK + 1).read_u8(904), 0);

    // The list's own pages follow: 16 of them and three tables.
    assert_eq!(info.first_p2m_pfn, info.mod_start + 2);
    assert_eq!(info.nr_p2m_frames, 16 + 3);

    // The screen.
    let at = built.regs().rsi + u64::from(info.console.dom0().info_off);
    let screen: Dom0VgaConsoleInfo = built.value(at);
    assert_eq!(u32::from(screen.video_type), XEN_VGATYPE_TEXT_MODE_3);
    assert_eq!(
        info.console.dom0().info_size as usize,
        size_of::<Dom0VgaConsoleInfo>()
    );

    // Upcalls are masked; the L4 is pinned and in use by vCPU 0.
    assert!(domain.vcpus().iter().all(|v| v.upcall_masked()));
    let l4 = host().mm.frames.entry(built.l4());
    assert_eq!(l4.expect("RAM").page_type(), (mm::PageType::L4, 2));
}

#[allow(unsafe_code)]
fn raw(mfn: u64) -> RawFrame {
    // SAFETY: simulated RAM of this test, below the machine's size.
    unsafe { RawFrame::new(Mfn::new(mfn)) }
}

#[test]
fn the_older_layout_maps_ramdisk_and_list() {
    machine(64);
    let mut case = Case::new("dom0_mem=24M");
    let notes: Vec<_> = linux_notes()
        .into_iter()
        .filter(|n| n.0 != 15 && n.0 != 16)
        .collect();
    case.image = elf(&notes, b"code");
    let built = case.build().expect("builds");
    let info = built.start_info();
    assert_eq!(info.flags & SIF_MOD_START_PFN, 0);
    assert_eq!(info.mod_start, 0xffff_ffff_8020_1000);
    assert_eq!(info.mfn_list, 0xffff_ffff_8020_3000);
    assert_eq!(
        built.leaf(info.mod_start).expect("mapped").mfn().get(),
        RAMDISK
    );
    assert_eq!(info.nr_p2m_frames, 0);
    for pfn in 0..info.nr_pages {
        assert_eq!(host().mm.m2p.get(built.p2m(pfn)), Gfn::new(pfn));
    }
}

#[test]
fn scratch_memory_comes_back() {
    machine(64);
    let mut case = Case::new("dom0_mem=24M");
    let plain = elf(&linux_notes(), b"code");
    let packed = miniz_oxide::deflate::compress_to_vec(&plain, 6);
    let mut gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    gzip.extend(packed);
    // CRC-32, then the size.
    let crc = crate::loader::unpack::checksum(&plain);
    gzip.extend(crc.to_le_bytes());
    gzip.extend((plain.len() as u32).to_le_bytes());
    case.image = bzimage(&gzip, plain.len() as u32);
    let before = host().mm.free_pages();
    let built = case.build().expect("builds");
    // All but dom0's pages (of which two were the ramdisk's) and shared_info.
    assert_eq!(host().mm.free_pages(), before - (24 * 256 - 2) - 1);
    let mut code = [0; 4];
    built.read(0xffff_ffff_8010_0000, &mut code);
    assert_eq!(&code, b"code");
}

#[test]
fn the_default_leaves_a_reserve() {
    machine(64);
    let built = Case::new("").build().expect("builds");
    let available = 64 * 256 - 0x400 + 2;
    assert_eq!(built.domain.mem.tot_pages(), available - available / 16);
    assert_eq!(built.domain.vcpus().len(), 2);
}

#[test]
fn too_little_memory_is_said_in_one_line() {
    machine(64);
    let error = Case::new("dom0_mem=3M").build().err().expect("refused");
    assert!(
        matches!(error, BuildError::TooLittleMemory { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("dom0_mem"));
    assert!(!error.to_string().contains('\n'));
    assert!(host().domains.get(DomainId::DOM0).is_err());
}

#[test]
fn a_ramdisk_outside_of_kept_memory_is_refused() {
    machine(64);
    let case = Case::new("dom0_mem=24M");
    for start in [0x50, 0x800, 1 << 40] {
        let mut request = case.request();
        request.ramdisk = Some(Module {
            start: Mfn::new(start).addr(),
            len: 4096,
        });
        assert_eq!(
            build(&request).err(),
            Some(BuildError::Ramdisk),
            "{start:#x}"
        );
    }
}

#[test]
fn a_bad_kernel_leaves_no_domain() {
    machine(64);
    let mut case = Case::new("dom0_mem=24M");
    case.image = elf(&[], b"");
    assert!(matches!(
        case.build(),
        Err(BuildError::Kernel(LoadError::NotXenCapable(_)))
    ));
    assert!(host().domains.get(DomainId::DOM0).is_err());
}

#[test]
fn an_unaligned_ramdisk_is_copied() {
    machine(64);
    for i in 0..5000u64 {
        let at = i + 0x123;
        raw(RAMDISK + at / 4096).write_u8(at as usize % 4096, i as u8 ^ 0xa5);
    }
    let case = Case::new("dom0_mem=24M");
    let mut request = case.request();
    let start = Mfn::new(RAMDISK).addr().offset(0x123);
    request.ramdisk = Some(Module { start, len: 5000 });
    let domain = build(&request).expect("builds");
    let built = Built { domain };
    let info = built.start_info();
    for i in [0, 4095, 4096, 4999] {
        let frame = built.frame(built.p2m(info.mod_start + i / 4096));
        assert_eq!(frame.read_u8(i as usize % 4096), i as u8 ^ 0xa5);
    }
}

/// Linux gives its further CPUs IOPL 1 in their first flags; without it they may not touch a port.
#[test]
fn a_further_vcpu_gets_the_iopl_of_its_context() {
    machine(64);
    let built = Case::new("dom0_mem=24M").build().expect("builds");
    let second = built.domain.vcpu(1).expect("there").clone();
    let mut context = Box::new(VcpuGuestContext::default());
    context.flags = IN_KERNEL;
    context.user_regs.rip = 0xffff_ffff_8010_0040;
    context.user_regs.rflags = 0x1000;
    context.ctrlreg[3] = built.l4().get() << PAGE_SHIFT;
    pv::initialise_vcpu(&built.domain, &second, &context).expect("accepted");
    let state = second.pv().state();
    assert_eq!(state.iopl, 1);
    assert_eq!(state.frame.rflags & 0x3000, 0);
    drop(state);
    let cx = crate::domain::Context {
        vcpu: second,
        domain: built.domain.clone(),
    };
    assert!(pv::emulate::io::iopl_ok(&cx));
}

/// The kernel that the system tests boot, where its path is given (`OXEN_TEST_VMLINUZ`).
#[test]
fn debian_s_kernel_builds() {
    let Some(path) = std::env::var_os("OXEN_TEST_VMLINUZ") else {
        eprintln!("OXEN_TEST_VMLINUZ is not set, skipped");
        return;
    };
    machine(512);
    let mut case = Case::new("dom0_mem=256M");
    case.image = std::fs::read(path).expect("readable");
    let built = case.build().expect("builds");
    let info = built.start_info();
    assert_eq!(info.nr_pages, 65536);
    assert_eq!(host().mm.m2p.get(built.p2m(0x1000)), Gfn::new(0x1000));
    let mut entry = [0; 4];
    built.read(built.regs().rip, &mut entry);
    assert_ne!(entry, [0; 4]);
}
