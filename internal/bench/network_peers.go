package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const directName = "direct"

// network measures the ways from a program to a server on an address of this host that is not its loopback's.
func (r *Report) network(c caller, box string) error {
	host, err := ownAddress()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return err
	}
	defer l.Close()
	go serveStreams(l)
	address := l.Addr().String()
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	program := filepath.Join(c.project, "traveller")
	if err := copyProgram(exe, program); err != nil {
		return err
	}
	var list []traveller
	defer func() {
		for _, t := range list {
			t.stop()
		}
	}()
	for _, enter := range []func(caller, string, string, string) (traveller, error){
		direct, captured, proxied, tinyproxy, squid, mitmproxy, sandboxRuntime,
	} {
		t, err := enter(c, box, program, address)
		if err != nil {
			r.Skipped = append(r.Skipped, err.Error())
			continue
		}
		list = append(list, t)
	}
	found, skipped := ways(list)
	r.Ways, r.Skipped = found, append(r.Skipped, skipped...)
	return nil
}

// ownAddress finds an IPv4 address of this host beside the loopback's.
func ownAddress() (string, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String(), nil
		}
	}
	return "", errors.New("this host has no address but the loopback's, which a box has for itself")
}

func start(name string, cmd *exec.Cmd, pid func(*exec.Cmd) int) (traveller, error) {
	w, err := startWorker(cmd)
	if err != nil {
		return traveller{}, fmt.Errorf("%s: %w", name, err)
	}
	t := traveller{name: name, worker: w, stop: func() { _ = w.stop() }}
	if pid != nil {
		t.pid = pid(cmd)
	}
	return t, nil
}

func direct(c caller, _, program, address string) (traveller, error) {
	return start(directName, c.command(program, clientWord, address, ""), nil)
}

func self(cmd *exec.Cmd) int { return cmd.Process.Pid }

func captured(c caller, box, program, address string) (traveller, error) {
	return start("agentbox, captured", c.command(box, "run", "--allow-host", address, "--", program, clientWord, address, ""), self)
}

func proxied(c caller, box, program, address string) (traveller, error) {
	return start("agentbox, CONNECT", c.command(box, "run", "--allow-host", address, "--", program, clientWord, address, "env"), self)
}

// behind starts a proxy of this host's and a client that uses it.
func behind(c caller, name, program, address string, at int, proxy *exec.Cmd) (traveller, error) {
	if _, err := exec.LookPath(proxy.Args[0]); err != nil {
		return traveller{}, fmt.Errorf("%s: %w", name, err)
	}
	proxy.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := proxy.Start(); err != nil {
		return traveller{}, fmt.Errorf("%s: %w", name, err)
	}
	end := func() {
		_ = syscall.Kill(-proxy.Process.Pid, syscall.SIGKILL)
		_ = proxy.Wait()
	}
	if err := answers(at); err != nil {
		end()
		return traveller{}, fmt.Errorf("%s: %w", name, err)
	}
	t, err := start(name, c.command(program, clientWord, address, "http://127.0.0.1:"+strconv.Itoa(at)), nil)
	if err != nil {
		end()
		return t, err
	}
	t.pid = proxy.Process.Pid
	stop := t.stop
	t.stop = func() { stop(); end() }
	return t, nil
}

// answers waits until somebody listens.
func answers(port int) error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// configured writes a proxy's configuration beside the project.
func configured(c caller, name, text string) (string, error) {
	dir := filepath.Join(filepath.Dir(c.project), name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "conf")
	return path, errors.Join(os.Chmod(dir, 0o777), os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644))
}

func tinyproxy(c caller, _, program, address string) (traveller, error) {
	at := freePort()
	conf, err := configured(c, "tinyproxy", fmt.Sprintf("Port %d\nListen 127.0.0.1\nAllow 127.0.0.1\nConnectPort %s\nMaxClients 100\nLogLevel Critical\n", at, portOf(address)))
	if err != nil {
		return traveller{}, err
	}
	return behind(c, "tinyproxy", program, address, at, exec.Command("tinyproxy", "-d", "-c", conf))
}

func squid(c caller, _, program, address string) (traveller, error) {
	at := freePort()
	conf, err := configured(c, "squid", fmt.Sprintf("http_port 127.0.0.1:%d\nhttp_access allow all\ncache deny all\naccess_log none\ncache_log DIR/log\npid_filename DIR/pid\ncoredump_dir DIR\nshutdown_lifetime 0 seconds\n", at))
	if err != nil {
		return traveller{}, err
	}
	t, err := behind(c, "squid", program, address, at, exec.Command("squid", "-N", "-f", conf))
	return t, err
}

func mitmproxy(c caller, _, program, address string) (traveller, error) {
	at := freePort()
	conf, err := configured(c, "mitmproxy", "")
	if err != nil {
		return traveller{}, err
	}
	cmd := exec.Command("mitmdump", "-q", "--set", "confdir="+filepath.Dir(conf), "--listen-host", "127.0.0.1", "-p", strconv.Itoa(at), "--ignore-hosts", ".*")
	return behind(c, "mitmproxy, passing through", program, address, at, cmd)
}

// sandboxRuntime is Anthropic's, from npm: a client in its sandbox, whose proxy it uses. Its proxy's processor time and
// memory are those of the whole program.
func sandboxRuntime(c caller, _, program, address string) (traveller, error) {
	const name = "sandbox-runtime"
	dir := filepath.Join(filepath.Dir(c.project), name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return traveller{}, err
	}
	if out, err := exec.Command("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", dir, "@anthropic-ai/sandbox-runtime").CombinedOutput(); err != nil {
		return traveller{}, fmt.Errorf("%s: npm: %w: %.200s", name, err, out)
	}
	host, _, _ := net.SplitHostPort(address)
	settings, err := json.Marshal(map[string]any{
		"network":    map[string]any{"allowedDomains": []string{host}, "deniedDomains": []string{}},
		"filesystem": map[string]any{"denyRead": []string{}, "allowWrite": []string{"/tmp"}, "denyWrite": []string{}},
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "settings.json"), settings, 0o644)
	}
	if err != nil {
		return traveller{}, err
	}
	return start(name, c.command(filepath.Join(dir, "node_modules/.bin/srt"), "--settings", filepath.Join(dir, "settings.json"), "--", program, clientWord, address, "env"), self)
}
