package main

// #include "start.h"
import "C"

import (
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

type limit struct {
	Soft string `json:"soft"`
	Hard string `json:"hard"`
}

// limitNames are in the kernel's order; see asm-generic/resource.h.
var limitNames = [16]string{"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile",
	"memlock", "as", "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"}

func startRlimits() map[string]limit {
	limits := map[string]limit{}
	for i, name := range limitNames {
		l := C.start_limits[i]
		if l.ok == 0 {
			limits[name] = limit{"denied", "denied"}
			continue
		}
		limits[name] = limit{limitText(uint64(l.soft)), limitText(uint64(l.hard))}
	}
	return limits
}

func limitText(n uint64) string {
	if n == 1<<64-1 {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

type signals struct {
	Blocked []string `json:"blocked"`
	Ignored []string `json:"ignored"`
}

func startSignals() signals {
	return signals{signalNames(uint64(C.start_blocked)), signalNames(uint64(C.start_ignored))}
}

func signalNames(set uint64) []string {
	names := []string{}
	for ; set != 0; set &= set - 1 {
		n := bits.TrailingZeros64(set) + 1
		name := unix.SignalName(syscall.Signal(n))
		if name == "" {
			name = strconv.Itoa(n)
		}
		names = append(names, name)
	}
	return names
}

type descriptor struct {
	Number int    `json:"number"`
	Kind   string `json:"kind"`
	Access string `json:"access"`
}

func startDescriptors() []descriptor {
	list := []descriptor{}
	for i := range int(C.start_fd_count) {
		fd := &C.start_fds[i]
		list = append(list, descriptor{int(fd.number), descriptorKind(fd), accessText(int(fd.flags))})
	}
	return list
}

// changing is what differs from run to run in the name of a descriptor.
var changing = regexp.MustCompile(`\[\d+\]|/dev/pts/\d+`)

func descriptorKind(fd *C.struct_start_fd) string {
	target := C.GoString(&fd.target[0])
	if fd.tty != 0 {
		return "terminal " + filepath.Dir(target)
	}
	kinds := map[uint32]string{unix.S_IFREG: "file", unix.S_IFDIR: "directory", unix.S_IFCHR: "device",
		unix.S_IFBLK: "block device", unix.S_IFIFO: "pipe", unix.S_IFSOCK: "socket"}
	kind := kinds[uint32(fd.mode)&unix.S_IFMT]
	if kind == "" {
		kind = "anonymous"
	}
	if kind == "pipe" || kind == "socket" {
		return kind
	}
	return strings.TrimSpace(kind + " " + changing.ReplaceAllString(target, ""))
}

func accessText(flags int) string {
	if flags&unix.O_PATH != 0 {
		return "path"
	}
	text := map[int]string{unix.O_RDONLY: "r", unix.O_WRONLY: "w", unix.O_RDWR: "rw"}[flags&unix.O_ACCMODE]
	if flags&unix.O_APPEND != 0 {
		text += " append"
	}
	return text
}

func environmentNames() []string {
	names := []string{}
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		names = append(names, name)
	}
	return sorted(names)
}

func errText(err error) string {
	if errno, ok := err.(syscall.Errno); ok {
		return "denied: " + unix.ErrnoName(errno)
	}
	return fmt.Sprintf("denied: %v", err)
}
