// Command load makes many connections, or long ones, from inside a box, and prints what came of them. Its server answers
// the first byte: "e" is sent back, "d" begins a stream of as many bytes as the line after it says.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

func main() {
	n, err := strconv.Atoi(os.Args[3])
	if err == nil {
		err = map[string]func(string, int) error{"open": open, "short": short, "stream": stream, "stall": stall, "streams": streams, "up": up, "down": down, "events": events, "talk": talk}[os.Args[1]](os.Args[2], n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func echo(c net.Conn) error {
	var b [1]byte
	if _, err := c.Write([]byte("e")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, b[:])
	return err
}

// open holds n connections open at one time, uses each, says so, and lets go of them when its input ends.
func open(address string, n int) error {
	conns := make([]net.Conn, n)
	var good atomic.Int64
	each(n, 64, func(i int) {
		c, err := net.Dial("tcp", address)
		if err == nil && echo(c) == nil {
			good.Add(1)
			conns[i] = c
		}
	})
	fmt.Println(good.Load(), "open")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	for _, c := range conns {
		if c != nil && echo(c) == nil {
			c.Close()
		}
	}
	return nil
}

// short makes n connections, one byte each way.
func short(address string, n int) error {
	var good atomic.Int64
	each(n, 16, func(int) {
		c, err := net.Dial("tcp", address)
		if err == nil && echo(c) == nil {
			good.Add(1)
			c.Close()
		}
	})
	fmt.Println(good.Load(), "short")
	return nil
}

// stream reads n mebibytes.
func stream(address string, n int) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Fprintf(c, "d%d\n", n<<20)
	got, err := io.Copy(io.Discard, c)
	fmt.Println(got>>20, "MiB")
	return err
}

// stall asks n connections for a mebibyte each and reads none of it, and leaves as many requests to the proxy half said.
func stall(address string, n int) error {
	var errs []error
	for range n {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_, err = fmt.Fprintf(c, "d%d\n", 1<<20)
		}
		p, perr := net.Dial("tcp", "127.0.0.1:3128")
		if perr == nil {
			_, perr = io.WriteString(p, "CONNECT half")
		}
		errs = append(errs, err, perr)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := short(address, 10); err != nil { // others are served meanwhile
		return err
	}
	fmt.Println("stalled")
	return nil
}

func each(n, at int, do func(int)) {
	var wait sync.WaitGroup
	work := make(chan int)
	for range at {
		wait.Go(func() {
			for i := range work {
				do(i)
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wait.Wait()
}
