package vm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"agentbox/internal/boxtest/vm/wire"
)

// emulator is the program that is the machine.
const emulator = "qemu-system-x86_64"

// diskSize is that of a machine's disk, of which only what is written takes space.
const diskSize = 4 << 30

// hardware is what the emulator is given. Its own files have no names, so that
// they end with the processes that have them open.
type hardware struct {
	memory, cpus int
	kernel       string
	initramfs    *os.File
	disk         *os.File
}

// newHardware makes the files a machine boots from.
func newHardware(o Options) (*hardware, error) {
	k, err := findKernel()
	if err != nil {
		return nil, fmt.Errorf("the kernel: %w", err)
	}
	hw := &hardware{memory: o.Memory, cpus: o.CPUs, kernel: k.image}
	if hw.initramfs, err = writeInitramfs(k, o.Modules); err == nil {
		hw.disk, err = emptyDisk()
	}
	if err != nil {
		hw.close()
		return nil, err
	}
	return hw, nil
}

func (hw *hardware) close() {
	for _, f := range []*os.File{hw.initramfs, hw.disk} {
		if f != nil {
			f.Close()
		}
	}
}

// nameless makes a file that has lost its name.
func nameless() (*os.File, error) {
	f, err := os.CreateTemp("/var/tmp", "boxtest-vm-") // /tmp may be in memory
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// inherited are the descriptors of the emulator behind 3, which is the port.
func (hw *hardware) inherited() []*os.File { return []*os.File{hw.disk, hw.initramfs} }

// args are the emulator's. Emulation in software is asked for by name, so that a
// machine is the same one everywhere.
func (hw *hardware) args() []string {
	return []string{
		"-M", "microvm,acpi=on,rtc=on", "-accel", "tcg,thread=multi", "-cpu", "max",
		"-m", strconv.Itoa(hw.memory), "-smp", strconv.Itoa(hw.cpus),
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-chardev", "file,id=console,path=/dev/stdout", "-serial", "chardev:console",
		"-device", "virtio-serial-device", "-chardev", "socket,id=port,fd=3",
		"-device", "virtserialport,chardev=port,name=" + wire.PortName,
		"-drive", "if=none,id=disk,format=raw,cache=unsafe,file=/proc/self/fd/4", "-device", "virtio-blk-device,drive=disk",
		"-kernel", hw.kernel, "-initrd", "/proc/self/fd/5",
		// The processors' clocks are one, which the kernel does not know. Without
		// them it would count ticks of 4 ms.
		"-append", "console=ttyS0 quiet panic=-1 reboot=t tsc=reliable" + clockSpeed(),
	}
}

// clockSpeed tells the kernel the speed of its clock, which the emulator takes from this machine. On a busy one the
// kernel cannot measure it by the emulated timers, and then does not boot.
func clockSpeed() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) != "bogomips" { // twice the clock's MHz, to the last digit
			continue
		}
		if mips, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
			return fmt.Sprintf(" tsc_early_khz=%.0f", mips*1000/2)
		}
	}
	return ""
}

// writeInitramfs writes the guest program and the modules of the kernel that the
// machine loads before it has a disk.
func writeInitramfs(k *kernel, modules []string) (*os.File, error) {
	files, err := k.load(append([]string{"virtio_mmio", "virtio_blk", "virtio_console", "overlay"}, modules...)...)
	if err != nil {
		return nil, err
	}
	guest, err := buildGuest()
	if err != nil {
		return nil, err
	}
	var archive cpioArchive
	for _, dir := range []string{"dev", "proc", "sys", "modules"} {
		archive.add(dir, cpioDir, nil)
	}
	archive.add("init", cpioFile, guest)
	for i, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		archive.add(fmt.Sprintf("modules/%03d-%s", i, filepath.Base(file)), cpioFile, content)
	}
	f, err := nameless()
	if err == nil {
		_, err = f.Write(archive.finish())
	}
	return f, err
}

// buildGuest builds the program that the machine starts first.
func buildGuest() ([]byte, error) {
	mod, err := output("go", "env", "GOMOD")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "boxtest-guest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "guest")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", path, "./testdata/vm/guest")
	cmd.Dir = filepath.Dir(strings.TrimSpace(mod))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the guest: %w\n%s", err, out)
	}
	return os.ReadFile(path)
}

// emptyDisk makes a disk with a file system that the kernel can map the owners of,
// which a RAM disk's cannot.
func emptyDisk() (*os.File, error) {
	f, err := nameless()
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(diskSize); err != nil {
		return f, err
	}
	format := exec.Command("busybox", "mke2fs", "-F", "-b", "4096", "-I", "256", "-i", "65536", "-m", "0", "/proc/self/fd/3")
	format.ExtraFiles = []*os.File{f}
	if out, err := format.CombinedOutput(); err != nil {
		return f, fmt.Errorf("format the disk: %w\n%s", err, out)
	}
	return f, nil
}
