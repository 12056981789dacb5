package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
)

// streams asks for a URL n times at once, which are streams of one connection of HTTP/2, and says so when each has its
// first byte; it lets the rest of them come when its input has a line.
func streams(url string, n int) error {
	bodies := make(chan io.ReadCloser, n)
	var second atomic.Int64
	each(n, n, func(int) {
		r, err := http.Get(url)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		if r.ProtoMajor == 2 {
			second.Add(1)
		}
		if _, err := io.ReadFull(r.Body, make([]byte, 1)); err == nil {
			bodies <- r.Body
		}
	})
	fmt.Println(len(bodies), "streams", second.Load())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	good := 0
	for close(bodies); ; {
		b, ok := <-bodies
		if !ok {
			break
		}
		if rest, err := io.ReadAll(b); err == nil && string(rest) == "nd" {
			good++
		}
		b.Close()
	}
	fmt.Println(good, "ended")
	return nil
}

// up sends n mebibytes to a URL, which says how many bytes came.
func up(url string, n int) error {
	r, err := http.Post(url, "application/octet-stream", io.LimitReader(zeroes{}, int64(n)<<20))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	said, err := io.ReadAll(r.Body)
	fmt.Println("up", string(said))
	return err
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// down reads what a URL has.
func down(url string, _ int) error {
	r, err := http.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	got, err := io.Copy(io.Discard, r.Body)
	fmt.Println("down", got>>20)
	return err
}

// events reads server-sent events. The server sends the next one when this one has been confirmed.
func events(url string, n int) error {
	r, err := http.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	lines := bufio.NewReader(r.Body)
	for i := range n {
		line, err := lines.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
			return fmt.Errorf("%q, want %q: %w", line, want, errors.Join(err))
		}
		if _, err := lines.ReadString('\n'); err != nil {
			return err
		}
		ack, err := http.Post(url, "text/plain", strings.NewReader(""))
		if err != nil {
			return err
		}
		ack.Body.Close()
	}
	fmt.Println(n, "events")
	return nil
}

// talk sends a line and waits for its echo, n times within one request; the server's trailer says how many it saw.
func talk(url string, n int) error {
	in, out := io.Pipe()
	q, err := http.NewRequest(http.MethodPost, url, in)
	if err != nil {
		return err
	}
	go io.WriteString(out, "0\n")
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	lines := bufio.NewReader(r.Body)
	for i := range n {
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintln(i) {
			return fmt.Errorf("%q, want %d: %w", line, i, errors.Join(err))
		}
		if i+1 < n {
			fmt.Fprintln(out, i+1)
		}
	}
	out.Close()
	if _, err := io.ReadAll(lines); err != nil {
		return err
	}
	fmt.Println("talked", r.Trailer.Get("Lines"))
	return nil
}
