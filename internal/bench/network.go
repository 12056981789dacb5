package main

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// clientWord makes this program a client of the measured server, in a box or outside.
const clientWord = "net-client"

// What a client is asked to do.
const (
	askDown  = iota // read streamMiB in one connection: MiB/s
	askUp           // write as much
	askRate         // short connections, clientsAtOnce at a time: per second
	askFirst        // the delay until the first byte of a new connection: ns, the median
)

const (
	streamMiB     = 256
	shortCount    = 800
	clientsAtOnce = 16
	firstCount    = 200
	networkRounds = 3
	answerTime    = 30 * time.Second
)

// A Way is what one way from a program to a server on this host carries.
type Way struct {
	Name     string  `json:"name"`
	Down     float64 `json:"down_mib_per_s"`
	Up       float64 `json:"up_mib_per_s"`
	Rate     float64 `json:"connections_per_s"`
	First    float64 `json:"first_byte_ns"`
	CPU      float64 `json:"cpu_s_per_gib,omitempty"` // of the supervisor, or of the proxy, while it carried Down and Up
	RSS      int64   `json:"rss_bytes,omitempty"`     // of the same, afterwards
	ToDirect float64 `json:"down_to_direct"`
}

// A traveller is a way that is being measured.
type traveller struct {
	name   string
	worker *worker
	pid    int // whose processor time counts; 0: nobody's
	stop   func()
}

// What is asked of the server. Some proxies wait for more than a byte before they pass anything on.
const (
	echoRequest = "e, and be quick\n"
	downRequest = "d, all of it ok\n"
	upRequest   = "u, here it comes"
)

// serveStreams answers each connection as it asks. Not every proxy passes on the end of one side alone, so that is no
// part of it.
func serveStreams(l net.Listener) {
	block := make([]byte, 1<<20)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			request := make([]byte, len(echoRequest))
			if _, err := io.ReadFull(c, request); err != nil {
				return
			}
			switch string(request) {
			case downRequest:
				for range streamMiB {
					if _, err := c.Write(block); err != nil {
						return
					}
				}
			case upRequest:
				if _, err := io.CopyN(io.Discard, c, streamMiB<<20); err == nil {
					_, _ = c.Write(request[:1])
				}
			default:
				_, _ = c.Write(request[:1])
			}
		}()
	}
}

// travel is the client: it answers each line of in with a number.
func travel(address, proxy string, in io.Reader, out io.Writer) int {
	dial := func() (net.Conn, error) { return net.Dial("tcp", address) }
	if proxy == "env" {
		proxy = os.Getenv("HTTP_PROXY")
	}
	if proxy != "" {
		dial = func() (net.Conn, error) { return dialBy(proxy, address) }
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var ask int
		_, err := fmt.Sscan(lines.Text(), &ask)
		value := 0.0
		if err == nil {
			value, err = map[int]func(func() (net.Conn, error)) (float64, error){askDown: down, askUp: up, askRate: rate, askFirst: firstByte}[ask](dial)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Fprintln(out, value)
	}
	return 0
}

// dialBy asks an HTTP proxy for a tunnel.
func dialBy(proxy, address string) (net.Conn, error) {
	u, err := url.Parse(proxy)
	if err != nil {
		return nil, err
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	head := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if u.User != nil {
		password, _ := u.User.Password()
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(c, 4096)
	response, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil || response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the proxy answers %v, %w", response, err)
	}
	if r.Buffered() > 0 {
		return nil, errors.New("the proxy said more than its answer")
	}
	return c, nil
}

func down(dial func() (net.Conn, error)) (float64, error) {
	began := time.Now()
	c, err := dial()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_, _ = c.Write([]byte(downRequest))
	n, err := io.Copy(io.Discard, c)
	if err == nil && n != streamMiB<<20 {
		err = fmt.Errorf("%d bytes arrived", n)
	}
	return streamMiB / time.Since(began).Seconds(), err
}

func up(dial func() (net.Conn, error)) (float64, error) {
	began := time.Now()
	c, err := dial()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	block := make([]byte, 1<<20)
	_, _ = c.Write([]byte(upRequest))
	for range streamMiB {
		if _, err := c.Write(block); err != nil {
			return 0, err
		}
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return streamMiB / time.Since(began).Seconds(), err
}

func echo(dial func() (net.Conn, error)) error {
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte(echoRequest)); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}

func rate(dial func() (net.Conn, error)) (float64, error) {
	var wait sync.WaitGroup
	errs := make([]error, clientsAtOnce)
	began := time.Now()
	for i := range clientsAtOnce {
		wait.Go(func() {
			for range shortCount / clientsAtOnce {
				if err := echo(dial); err != nil {
					errs[i] = err
				}
			}
		})
	}
	wait.Wait()
	return shortCount / time.Since(began).Seconds(), errors.Join(errs...)
}

func firstByte(dial func() (net.Conn, error)) (float64, error) {
	var list []float64
	for range firstCount {
		began := time.Now()
		if err := echo(dial); err != nil {
			return 0, err
		}
		list = append(list, float64(time.Since(began).Nanoseconds()))
	}
	return quantile(list, 0.5), nil
}

// ways measures every way in turn, in an order that rotates.
func ways(list []traveller) (out []Way, skipped []string) {
	values := make([][4][]float64, len(list))
	cpu := make([]float64, len(list))
	alive := make([]bool, len(list))
	for i := range alive {
		alive[i] = true
	}
	for round := range networkRounds + 1 {
		for k := range list {
			at := (round + k) % len(list)
			before := processorTime(list[at].pid)
			for ask := askDown; ask <= askFirst && alive[at]; ask++ {
				limit := time.AfterFunc(answerTime, func() { _ = list[at].worker.cmd.Process.Kill() })
				v, err := list[at].worker.measure(ask)
				limit.Stop()
				if err != nil {
					skipped, alive[at] = append(skipped, list[at].name+": "+err.Error()), false
				} else if round > 0 { // the first one warms up
					values[at][ask] = append(values[at][ask], v)
				}
				if ask == askUp && round > 0 {
					cpu[at] += processorTime(list[at].pid) - before
				}
			}
		}
	}
	for i, t := range list {
		if !alive[i] {
			continue
		}
		w := Way{Name: t.name, Down: quantile(values[i][askDown], 0.5), Up: quantile(values[i][askUp], 0.5),
			Rate: quantile(values[i][askRate], 0.5), First: quantile(values[i][askFirst], 0.5)}
		if t.pid != 0 {
			w.CPU, w.RSS = cpu[i]*1024/(2*networkRounds*streamMiB), residentBytes(t.pid)
		}
		out = append(out, w)
	}
	if i := slices.IndexFunc(out, func(w Way) bool { return w.Name == directName }); i >= 0 {
		for k := range out {
			out[k].ToDirect = ratio(out[k].Down, out[i].Down)
		}
	}
	return out, skipped
}

// processorTime is what a process and its threads have used, in seconds; see proc_pid_stat(5).
func processorTime(pid int) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var user, system float64
	if len(fields) > 12 {
		_, _ = fmt.Sscan(fields[11], &user)
		_, _ = fmt.Sscan(fields[12], &system)
	}
	const hertz = 100 // USER_HZ
	return (user + system) / hertz
}
