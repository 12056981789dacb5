// Package browser looks at pages as a person does: with Chromium, without a window, by its DevTools protocol over a pipe. It is for
// tests of pages that are files. The browser has a profile of its own, which goes with the test, and is told to ask nobody
// for anything; what a page asks for is counted.
package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long an answer may take.
const patience = 60 * time.Second

// A Browser runs until its test ends.
type Browser struct {
	in   io.WriteCloser
	gone chan struct{} // closed when nothing more comes from it

	mu      sync.Mutex
	last    int
	waiting map[int]chan message
	pages   map[string]*Page // by session
}

// A message of the protocol: a call, its answer, or an event.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Start starts Chromium, which boxtest.Need calls "chromium". Its own sandbox is off: it does not run as root, and the pages
// are the tests' own.
func Start(t testing.TB) *Browser {
	t.Helper()
	dir, err := os.MkdirTemp("", "boxtest-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs, err := pipes()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command("chromium", "--headless", "--remote-debugging-pipe", "--user-data-dir="+dir, "--no-sandbox", "--disable-gpu", "--disable-quic",
		"--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-breakpad", "--disable-crash-reporter", "--disable-dev-shm-usage", "--disable-extensions", "--hide-scrollbars", "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir, "XDG_RUNTIME_DIR="+dir, "DBUS_SESSION_BUS_ADDRESS=disabled:")
	cmd.ExtraFiles, cmd.Stderr = theirs, &said // 3 is what it reads, 4 what it writes
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{in: ours[0], gone: make(chan struct{}), waiting: map[int]chan message{}, pages: map[string]*Page{}}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		<-b.gone // every process that held the pipe has ended
		if err := errors.Join(ours[0].Close(), ours[1].Close(), os.RemoveAll(dir)); err != nil || t.Failed() {
			t.Logf("%v; the browser said:\n%s", err, tail(said.String()))
		}
	})
	go b.listen(ours[1])
	return b
}

func pipes() (ours, theirs []*os.File, err error) {
	itReads, weWrite, err1 := os.Pipe()
	weRead, itWrites, err2 := os.Pipe()
	return []*os.File{weWrite, weRead}, []*os.File{itReads, itWrites}, errors.Join(err1, err2)
}

func tail(s string) string { return s[max(0, len(s)-2000):] }

// listen hands answers to who waits for them, and events to their page.
func (b *Browser) listen(from io.Reader) {
	defer close(b.gone)
	r := bufio.NewReader(from)
	for {
		data, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(data[:len(data)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		waits, page := b.waiting[m.ID], b.pages[m.Session]
		delete(b.waiting, m.ID)
		b.mu.Unlock()
		switch {
		case waits != nil:
			waits <- m
		case page != nil && m.Method != "":
			page.event(m)
		}
	}
}

// call makes one call of the protocol, in a session or, without one, of the browser. The test ends where it fails.
func (b *Browser) call(t testing.TB, session, method string, params, into any) {
	t.Helper()
	if err := b.try(session, method, params, into); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}

func (b *Browser) try(session, method string, params, into any) error {
	text, err := json.Marshal(params)
	if err != nil {
		return err
	}
	answer := make(chan message, 1)
	b.mu.Lock()
	b.last++
	m := message{ID: b.last, Session: session, Method: method, Params: text}
	b.waiting[m.ID] = answer
	text, err = json.Marshal(m)
	if err == nil {
		_, err = b.in.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case m = <-answer:
	case <-b.gone:
		return errors.New("the browser has ended")
	case <-late.C:
		return fmt.Errorf("no answer within %v", patience)
	}
	if m.Error != nil {
		return errors.New(m.Error.Message)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(m.Result, into)
}
