package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"

	"agentbox/internal/boxtest"
	internet "agentbox/internal/boxtest/world"
)

// loaded serves testdata/load's requests.
func loaded(release chan struct{}, size int64) http.Handler {
	mux := http.NewServeMux()
	flush := func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "e")
		flush(w)
		<-release
		io.WriteString(w, "nd")
	})
	mux.HandleFunc("/up", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n>>20)
	})
	mux.HandleFunc("/down", func(w http.ResponseWriter, r *http.Request) { _, _ = io.CopyN(w, zeroes{}, size) })
	confirmed := make(chan struct{})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := 0; ; i++ {
			fmt.Fprintf(w, "data: %d\n\n", i)
			flush(w)
			select {
			case <-confirmed:
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.HandleFunc("POST /events", func(http.ResponseWriter, *http.Request) { confirmed <- struct{}{} })
	mux.HandleFunc("/talk", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Trailer", "Lines")
		n := 0
		for in := bufio.NewScanner(r.Body); in.Scan(); n++ {
			fmt.Fprintln(w, in.Text())
			flush(w)
		}
		w.Header().Set("Lines", fmt.Sprint(n))
	})
	return mux
}

// What is read streams all the same: two hundred streams of one connection, gibibytes up and down, events and talk that
// wait for one another. Memory stays flat, and nothing is left open.
func TestLoadOnWhatIsRead(t *testing.T) {
	size, events := 256, 3600 // an hour of one a second
	if os.Getenv("AGENTBOX_TEST_LONG") != "" {
		size = 1 << 10
	}
	const secret = "sk-real-0123456789abcdef"
	world := internet.New(t)
	world.Name("load.test", "203.0.113.31")
	release := make(chan struct{})
	server := world.HTTPS("203.0.113.31:443", []string{"load.test"}, locked(secret, loaded(release, int64(size)<<20)))
	w := withKey(t, boxtest.Superuser, world, secret, `network.allow = ["load.test"]`, credential("key", "env:REAL_KEY", "load.test", asHeader))
	boxtest.Load(t, w.dir)
	b := w.start(t, fmt.Sprintf(`echo ready; export NO_PROXY='*' no_proxy='*'
		./load streams https://load.test/stream 200; ./load up https://load.test/up %[1]d; ./load down https://load.test/down 0
		./load events https://load.test/events %[2]d; ./load talk https://load.test/talk 500; cat >/dev/null`, size, events))
	pid := b.cmd.Process.Pid
	idle := lookAt(t, pid)
	most := idle
	expect := func(want string) {
		t.Helper()
		if got := b.line(t); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
		s := lookAt(t, pid)
		t.Logf("%-16s %3d MiB, %4d descriptors, %d s of processor time", want, s.memory, s.files, s.cpu)
		most.memory = max(most.memory, s.memory)
	}
	t.Logf("idle             %3d MiB, %4d descriptors", idle.memory, idle.files)
	expect("200 streams 200")
	close(release)
	fmt.Fprintln(b.stdin)
	expect("200 ended")
	expect(fmt.Sprint("up ", size))
	expect(fmt.Sprint("down ", size))
	expect(fmt.Sprint(events, " events"))
	expect("talked 500")
	after := lookAt(t, pid)
	for deadline := time.Now().Add(patience); after.files > idle.files+20 && time.Now().Before(deadline); after = lookAt(t, pid) {
		runtime.Gosched()
	}
	if most.memory > idle.memory+60 {
		t.Errorf("memory: %d MiB idle, %d at most", idle.memory, most.memory)
	}
	if after.files > idle.files+20 {
		t.Errorf("descriptors: %d before, %d after", idle.files, after.files)
	}
	if n := len(server.Requests()); n != 200+1+1+1+events+1 {
		t.Errorf("%d requests arrived", n)
	}
	b.end()
}
