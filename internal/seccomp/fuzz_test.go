package seccomp

import (
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzAgentNeverAllows compares the compiled filter with a hand-written list of what must not pass, which shares
// nothing with the policy's tables but the numbers.
func FuzzAgentNeverAllows(f *testing.F) {
	seed := func(audit, nr uint32, args ...uint64) {
		b := binary.LittleEndian.AppendUint32(nil, audit)
		b = binary.LittleEndian.AppendUint32(b, nr)
		for _, a := range args {
			b = binary.LittleEndian.AppendUint64(b, a)
		}
		f.Add(b)
	}
	native := uint32(unix.AUDIT_ARCH_X86_64)
	for nr := range uint32(len(namesAMD64)) {
		seed(native, nr)
		seed(native, nr, 1<<32|4, 1<<32|0o4755, 0o100|1<<33, 0o4755, 6, 7)
		seed(native, nr, 2, 3, 0o6000, 0x5412)
	}
	seed(native, x32Bit+272, 0x10000000)
	seed(auditI386, 310, 0x10000000)
	m := newMachine(f, "amd64", Agent)
	f.Fuzz(func(t *testing.T, data []byte) {
		data = append(data, make([]byte, 56)...)
		nr := binary.LittleEndian.Uint32(data[4:])
		var args [6]uint64
		for i := range args {
			args[i] = binary.LittleEndian.Uint64(data[8+8*i:])
		}
		for _, m.audit = range []uint32{binary.LittleEndian.Uint32(data), native} {
			for _, nr := range []uint32{nr, nr % 512} {
				if m.run(t, nr, args) == Allow && forbidden(m.audit, nr, args) {
					t.Errorf("audit %#x, number %d, args %#x is allowed", m.audit, nr, args)
				}
			}
		}
	})
}

func forbidden(audit, nr uint32, args [6]uint64) bool {
	if audit != unix.AUDIT_ARCH_X86_64 {
		return true
	}
	low := func(i int) uint32 { return uint32(args[i]) }
	setID := func(i int) bool { return low(i)&0o4000 != 0 || low(i)&0o2000 != 0 }
	device := func(i int) bool { k := low(i) >> 12 & 0xf; return k == 2 || k == 6 }
	makes := func(i int) bool { return low(i)&0o100 != 0 || low(i)&0o20000000 != 0 }
	name := ""
	if nr < uint32(len(namesAMD64)) {
		name = namesAMD64[nr]
	}
	switch name {
	case "openat":
		return makes(2) && setID(3)
	case "open":
		return makes(1) && setID(2)
	case "creat", "chmod", "fchmod", "mkdir":
		return setID(1)
	case "fchmodat", "fchmodat2", "mkdirat":
		return setID(2)
	case "mknod":
		return setID(1) || device(1)
	case "mknodat":
		return setID(2) || device(2)
	case "clone":
		return low(0)>>17&1 != 0 || low(0)>>25&0x3f != 0
	case "ioctl":
		return low(1) == 0x5412 || low(1) == 0x541c || low(1) == 0x5423
	case "seccomp":
		return low(1)>>3&1 != 0
	case "personality":
		return low(0) != 0xffffffff && low(0)&^0x20008 != 0
	case "socketpair":
		return low(0) != 1
	case "socket":
		return forbiddenSocket(low(0), low(1)%16, low(2))
	}
	return name == "" || strings.Contains(dangerous, " "+name+" ")
}

func forbiddenSocket(family, kind, protocol uint32) bool {
	switch family {
	case 1:
		return false
	case 2, 10:
		return kind != 1 && kind != 2 || protocol != 0 && protocol != 6 && protocol != 17
	case 16:
		return protocol != 0
	}
	return true
}

const dangerous = " unshare setns clone3 mount umount2 pivot_root chroot fsopen fsconfig fsmount fspick move_mount" +
	" open_tree open_tree_attr mount_setattr add_key keyctl request_key bpf perf_event_open userfaultfd ptrace" +
	" process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp name_to_handle_at open_by_handle_at swapon" +
	" swapoff acct quotactl quotactl_fd reboot kexec_load kexec_file_load init_module finit_module delete_module" +
	" syslog settimeofday clock_settime sethostname setdomainname iopl ioperm fanotify_init fanotify_mark" +
	" lookup_dcookie move_pages mbind set_mempolicy set_mempolicy_home_node get_mempolicy migrate_pages modify_ldt" +
	" nfsservctl vhangup io_uring_setup io_uring_enter io_uring_register openat2 file_setattr listns uselib sysfs" +
	" ustat lsm_set_self_attr "
