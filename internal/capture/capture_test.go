package capture

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

func TestMain(m *testing.M) { os.Exit(boxtest.Main(m)) }

// inside runs what is given on a thread in a network namespace of its own. The thread ends with it.
func inside(t *testing.T, do func()) {
	t.Helper()
	boxtest.Need(t, boxtest.Root)
	done := make(chan error, 1)
	go func() {
		defer close(done)      // also after t.Fatal
		runtime.LockOSThread() // and never unlocked: nobody else gets the thread
		if unix.Gettid() == unix.Getpid() {
			// The first thread is what /proc/self speaks of. Another goroutine gets another one while this holds it.
			inner := make(chan struct{})
			go func() { defer close(inner); inside(t, do) }()
			<-inner
			runtime.UnlockOSThread()
			done <- nil
			return
		}
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T) *Namespace {
	t.Helper()
	files, errs := makeSockets()
	ns, err := Open(files, errs)
	if err != nil || ns.Lacks != nil {
		t.Fatal(err, ns.Lacks)
	}
	return ns
}

func TestEveryConnectionIsCaptured(t *testing.T) {
	inside(t, func() {
		ns := open(t)
		defer ns.Close()
		for _, to := range []string{
			"192.0.2.1:443", "10.0.0.1:22", "169.254.169.254:80", "198.18.0.7:443", "8.8.8.8:53", "255.255.255.254:1",
			"[2001:db8::1]:443", "[fd00:ec2::254]:80", "[fd61:6774:6278::9]:443", "[::2]:80", "127.0.0.1:53", "[::1]:53",
		} {
			c, err := net.Dial("tcp", to)
			if err != nil {
				t.Errorf("%s: %v", to, err)
				continue
			}
			l := ns.TCP[0]
			if strings.HasPrefix(to, "[") {
				l = ns.TCP[1]
			}
			got, err := l.Accept()
			if err != nil || got.Destination != netip.MustParseAddrPort(to) {
				t.Errorf("%s arrived as %v, %v", to, got, err)
			}
			if inode, err := ns.Inode(got); err != nil || inode != socketInode(t, c.(*net.TCPConn)) {
				t.Errorf("%s is of socket %d, not %d: %v", to, inode, socketInode(t, c.(*net.TCPConn)), err)
			}
			got.Close()
			c.Close()
		}
	})
}

func socketInode(t *testing.T, c *net.TCPConn) uint32 {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return uint32(st.Ino)
}

func TestTheLoopbackIsTheBoxsOwn(t *testing.T) {
	inside(t, func() {
		ns := open(t)
		defer ns.Close()
		for _, at := range []string{"127.0.0.1:0", "127.0.0.9:0", "[::1]:0"} {
			l, err := net.Listen("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Errorf("%s: %v", at, err)
				continue
			}
			c.Close()
			l.Close()
			if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
				t.Errorf("%s: somebody else answers", at)
			}
		}
	})
}

func TestOnlyTCPHasARoute(t *testing.T) {
	inside(t, func() {
		ns := open(t)
		defer ns.Close()
		for _, to := range []string{"192.0.2.1:53", "8.8.8.8:53", "10.0.0.1:443", "[2001:db8::1]:443"} {
			if c, err := net.Dial("udp", to); err == nil {
				t.Errorf("UDP to %s has a route, from %s", to, c.LocalAddr())
			}
		}
		for i, at := range []string{"127.0.0.1:53", "[::1]:53"} {
			c, err := net.Dial("udp", at)
			if err == nil {
				_, err = c.Write([]byte("who"))
			}
			if err != nil {
				t.Fatal(err)
			}
			var b [8]byte
			n, _, err := ns.DNS[i].ReadFrom(b[:])
			if err != nil || string(b[:n]) != "who" {
				t.Errorf("%s: %q, %v", at, b[:n], err)
			}
		}
	})
}

func TestAKernelThatCannotCapture(t *testing.T) {
	inside(t, func() {
		files, errs := makeSockets()
		files[filterSocket].Close()
		files[filterSocket], errs[filterSocket] = nil, unix.EPROTONOSUPPORT
		ns, err := Open(files, errs)
		if err != nil || ns.Lacks == nil || len(ns.TCP)+len(ns.DNS) != 0 {
			t.Fatalf("%+v, %v", ns, err)
		}
		defer ns.Close()
		if c, err := net.Dial("tcp", "127.0.0.1:3128"); err != nil {
			t.Errorf("the proxy: %v", err)
		} else {
			c.Close()
		}
		if _, err := net.Dial("tcp", "192.0.2.1:443"); err == nil {
			t.Error("a connection goes somewhere")
		}
	})
}
