package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// A tlsPlace is where the measured server is, and whom its clients are to trust.
type tlsPlace struct {
	program, box, address string
	ca, caKey             string // files
}

// inspection measures what it costs to have requests read on their way to a TLS server of this host.
func (r *Report) inspection(c caller, box string) error {
	host, err := ownAddress()
	if err != nil {
		return err
	}
	ca, key, leaf, err := newAuthority(host)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return err
	}
	defer l.Close()
	go serveRequests(l, leaf)
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	p := tlsPlace{program: filepath.Join(c.project, "asker"), box: box, address: l.Addr().String(),
		ca: filepath.Join(c.home, "ca.pem"), caKey: filepath.Join(c.home, "ca.key")}
	for path, data := range map[string][]byte{p.ca: ca, p.caKey: key} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	if err := copyProgram(exe, p.program); err != nil {
		return err
	}
	var list []traveller
	defer func() {
		for _, t := range list {
			t.stop()
		}
	}()
	for _, enter := range []func(caller, tlsPlace) (traveller, error){directTLS, unreadTLS, readTLS, mitmproxyTLS, squidTLS} {
		t, err := enter(c, p)
		if err != nil {
			r.Skipped = append(r.Skipped, err.Error())
			continue
		}
		list = append(list, t)
	}
	r.Readings, r.Skipped = readings(list, r.Skipped)
	return nil
}

// readings measures every way in turn, in an order that rotates.
func readings(list []traveller, skipped []string) ([]Reading, []string) {
	values := make([][requestAsks][]float64, len(list))
	dead := make([]bool, len(list))
	for round := range networkRounds + 1 {
		for k := range list {
			at := (round + k) % len(list)
			for ask := askWarm1; ask < requestAsks && !dead[at]; ask++ {
				limit := time.AfterFunc(answerTime, func() { _ = list[at].worker.cmd.Process.Kill() })
				v, err := list[at].worker.measure(ask)
				limit.Stop()
				if err != nil {
					skipped, dead[at] = append(skipped, list[at].name+": "+err.Error()), true
				} else if round > 0 { // the first one warms up
					values[at][ask] = append(values[at][ask], v)
				}
			}
		}
	}
	var out []Reading
	for i, t := range list {
		if dead[i] {
			continue
		}
		of := func(ask int) float64 { return quantile(values[i][ask], 0.5) }
		x := Reading{Name: t.name, Warm1: of(askWarm1), Warm2: of(askWarm2), Cold: of(askCold), Event: of(askEvent), Many: of(askMany)}
		if len(out) > 0 && out[0].Name == directName {
			x.Added = max(x.Warm1-out[0].Warm1, x.Warm2-out[0].Warm2)
		}
		out = append(out, x)
	}
	return out, skipped
}

func trusting(cmd *exec.Cmd, ca string) *exec.Cmd {
	cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+ca)
	return cmd
}

func directTLS(c caller, p tlsPlace) (traveller, error) {
	return start(directName, trusting(c.command(p.program, requestWord, p.address, plainProxy), p.ca), nil)
}

// inBox starts the client in a box whose profile says more.
func inBox(c caller, p tlsPlace, name, more string) (traveller, error) {
	profile := filepath.Join(c.home, name[:1]+portOf(p.address)+".toml")
	text := fmt.Sprintf("[network]\nmode = \"allowlist\"\nallow = [%q]\nextra_ca = [%q]\n%s", p.address, p.ca, more)
	if err := os.WriteFile(profile, []byte(text), 0o644); err != nil {
		return traveller{}, err
	}
	cmd := c.command(p.box, "run", "--profile", profile, "--", p.program, requestWord, p.address, plainProxy)
	cmd.Env = append(cmd.Env, "BENCH_KEY=sk-a-key-that-is-none-0123456789")
	return start(name, cmd, self)
}

func unreadTLS(c caller, p tlsPlace) (traveller, error) {
	return inBox(c, p, "tunnel of agentbox, unread", "")
}

func readTLS(c caller, p tlsPlace) (traveller, error) {
	return inBox(c, p, inspected, fmt.Sprintf("[[credential]]\nname = \"key\"\nsource = \"env:BENCH_KEY\"\nhosts = [%q]\nas = \"bearer\"\n", p.address))
}

// behindReader starts a proxy that reads TLS, with an authority of its own.
func behindReader(c caller, p tlsPlace, name, ca string, at int, proxy *exec.Cmd) (traveller, error) {
	t, err := behind(c, name, p.program, p.address, at, proxy)
	if err != nil {
		return t, err
	}
	// behind has started the other client; this one takes its place.
	_ = t.worker.stop()
	asker, err := startWorker(trusting(c.command(p.program, requestWord, p.address, "http://127.0.0.1:"+strconv.Itoa(at)), ca))
	if err != nil {
		t.stop()
		return t, err
	}
	end := t.stop
	t.worker, t.stop = asker, func() { _ = asker.stop(); end() }
	return t, nil
}

func mitmproxyTLS(c caller, p tlsPlace) (traveller, error) {
	at := freePort()
	conf, err := configured(c, "mitmproxy-tls", "")
	if err != nil {
		return traveller{}, err
	}
	dir := filepath.Dir(conf)
	cmd := exec.Command("mitmdump", "-q", "--set", "confdir="+dir, "--set", "ssl_verify_upstream_trusted_ca="+p.ca, "--listen-host", "127.0.0.1", "-p", strconv.Itoa(at))
	return behindReader(c, p, "mitmproxy", filepath.Join(dir, "mitmproxy-ca-cert.pem"), at, cmd)
}

// squidTLS needs a squid that was built with OpenSSL, as Debian's squid-openssl is.
func squidTLS(c caller, p tlsPlace) (traveller, error) {
	const name, certgen = "squid, ssl-bump", "/usr/lib/squid/security_file_certgen"
	if _, err := os.Stat(certgen); err != nil {
		return traveller{}, fmt.Errorf("%s: %w", name, err)
	}
	at := freePort()
	conf, err := configured(c, "squid-tls", fmt.Sprintf(`http_port 127.0.0.1:%d ssl-bump tls-cert=DIR/ca.pem generate-host-certificates=on dynamic_cert_mem_cache_size=4MB
sslcrtd_program %s -s DIR/certs -M 4MB
sslcrtd_children 2
tls_outgoing_options cafile=%s
ssl_bump stare all
ssl_bump bump all
http_access allow all
cache deny all
access_log none
cache_log DIR/log
pid_filename DIR/pid
coredump_dir DIR
shutdown_lifetime 0 seconds
`, at, certgen, p.ca))
	if err != nil {
		return traveller{}, err
	}
	dir := filepath.Dir(conf)
	var both []byte
	for _, path := range []string{p.ca, p.caKey} {
		data, err := os.ReadFile(path)
		if err != nil {
			return traveller{}, err
		}
		both = append(both, data...)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), both, 0o644); err != nil {
		return traveller{}, err
	}
	_ = os.RemoveAll(filepath.Join(dir, "certs"))
	if out, err := exec.Command(certgen, "-c", "-s", filepath.Join(dir, "certs"), "-M", "4MB").CombinedOutput(); err != nil {
		return traveller{}, fmt.Errorf("%s: %w: %.200s", name, err, out)
	}
	if out, err := exec.Command("chmod", "-R", "a+rwX", filepath.Join(dir, "certs")).CombinedOutput(); err != nil {
		return traveller{}, fmt.Errorf("%s: %w: %.200s", name, err, out)
	}
	return behindReader(c, p, name, p.ca, at, exec.Command("squid", "-N", "-f", conf))
}
