package archive

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// A backend is an archive of the tests, with another way to it than the one that is tested.
type backend struct {
	archive, token, ca, home string

	files  func(t testing.TB) map[string]string
	put    func(t testing.TB, name, data string)
	stored func(t testing.TB) map[string]int // how often a name got content from outside; nil where nobody counts
}

// kinds are all that audit.archive can name.
func kinds() map[string]func(testing.TB) *backend {
	return map[string]func(testing.TB) *backend{"directory": directoryBackend, "command": commandBackend, "server": serverBackend, "bucket": bucketBackend,
		"bucket of versitygw": versityBackend}
}

func uncounted(testing.TB) map[string]int { return nil }

func filesBelow(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(data)
	}
	return out
}

func directoryBackend(t testing.TB) *backend {
	dir := t.TempDir()
	return &backend{archive: "dir:" + dir, stored: uncounted,
		files: func(t testing.TB) map[string]string { return filesBelow(t, dir) },
		put:   func(t testing.TB, name, data string) { write(t, filepath.Join(dir, name), data) }}
}

// archiver is a program as docs/archive.md has it. It counts what it stores.
const archiver = `#!/bin/sh
set -eu
cd "$1"
right() { echo "$AGENTBOX_ARCHIVE_SHA256  $1" | sha256sum --check --status; }
if [ "${AGENTBOX_ARCHIVE_RETRY:-}" = 1 ] && [ -e "$AGENTBOX_ARCHIVE_NAME" ]; then
	right "$AGENTBOX_ARCHIVE_NAME"
	exit
fi
part=$(mktemp .part.XXXXXXXX)
trap 'rm -f "$part"' EXIT
cat >"$part"
right "$part"
ln "$part" "$AGENTBOX_ARCHIVE_NAME"
echo "$AGENTBOX_ARCHIVE_NAME" >>../stored
`

func commandBackend(t testing.TB) *backend {
	home := t.TempDir()
	program, dir := filepath.Join(home, "archiver"), filepath.Join(home, "there")
	write(t, program, archiver)
	if err := errors.Join(os.Chmod(program, 0o700), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	return &backend{archive: "command:" + program + " " + dir, home: home,
		files: func(t testing.TB) map[string]string {
			got := filesBelow(t, dir)
			for name := range got {
				if strings.HasPrefix(name, ".part.") { // of a program that was killed
					delete(got, name)
				}
			}
			return got
		},
		put: func(t testing.TB, name, data string) { write(t, filepath.Join(dir, name), data) },
		stored: func(t testing.TB) map[string]int {
			data, err := os.ReadFile(filepath.Join(home, "stored"))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			count := map[string]int{}
			for name := range strings.FieldsSeq(string(data)) {
				count[name]++
			}
			return count
		}}
}

const testToken = "tok-3kq9Zx7Lm2VbN8sW"

// A shelf is a server as docs/archive.md wants it: it takes a name once, and says what it has.
type shelf struct {
	mu     sync.Mutex
	data   map[string]string
	counts map[string]int
	seen   []string // Authorization headers
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r.Header.Get("Authorization"))
	name := strings.TrimPrefix(r.URL.Path, "/logs/")
	have, there := s.data[name]
	switch {
	case r.Header.Get("Authorization") != "Bearer "+testToken:
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodPut && err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case r.Method == http.MethodPut && there && r.Header.Get("If-None-Match") == "*":
		w.WriteHeader(http.StatusPreconditionFailed)
	case r.Method == http.MethodPut:
		s.data[name] = string(body)
		s.counts[name]++
		w.WriteHeader(http.StatusCreated)
	case !there:
		w.WriteHeader(http.StatusNotFound)
	default:
		w.Header().Set("ETag", `"`+sumOf(have)+`"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(have))
	}
}

// serve starts a handler behind TLS, below /logs/.
func serve(t testing.TB, h http.Handler) *backend {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return &backend{archive: s.URL + "/logs/", token: testToken, ca: string(ca)}
}

func serverBackend(t testing.TB) *backend {
	s := &shelf{data: map[string]string{}, counts: map[string]int{}}
	b := serve(t, s)
	s.describe(b)
	return b
}

func (s *shelf) describe(b *backend) {
	b.files = func(testing.TB) map[string]string {
		s.mu.Lock()
		defer s.mu.Unlock()
		out := map[string]string{}
		for name, data := range s.data {
			out[name] = data
		}
		return out
	}
	b.put = func(_ testing.TB, name, data string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.data[name] = data
	}
	b.stored = func(testing.TB) map[string]int {
		s.mu.Lock()
		defer s.mu.Unlock()
		out := map[string]int{}
		for name, n := range s.counts {
			out[name] = n
		}
		return out
	}
}

const (
	testKey    = "AKIATESTTESTTEST"
	testSecret = "s3cr3t+KQ9Zx7Lm2VbN8sW/abcdefghijklmnop"
)

func bucketBackend(t testing.TB) *backend {
	memory := s3mem.New()
	if err := memory.CreateBucket("logs"); err != nil {
		t.Fatal(err)
	}
	b := serve(t, signedOnly(gofakes3.New(memory).Server()))
	b.archive = "s3://logs/agentbox/year=2026?endpoint=" + strings.TrimSuffix(b.archive, "/logs/")
	b.token = testKey + ":" + testSecret
	const prefix = "agentbox/year=2026/"
	b.stored = uncounted
	b.put = func(t testing.TB, name, data string) {
		if _, err := memory.PutObject("logs", prefix+name, map[string]string{}, strings.NewReader(data), int64(len(data)), nil); err != nil {
			t.Fatal(err)
		}
	}
	b.files = func(t testing.TB) map[string]string {
		list, err := memory.ListBucket("logs", nil, gofakes3.ListBucketPage{})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, c := range list.Contents {
			object, err := memory.GetObject("logs", c.Key, nil)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(object.Contents)
			if err != nil {
				t.Fatal(err)
			}
			out[strings.TrimPrefix(c.Key, prefix)] = string(data)
		}
		return out
	}
	return b
}

// signedOnly refuses a request of another signature than the key's, or with another content than was signed, as a real
// server does. The signature is made again from what has arrived.
func signedOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		at, err2 := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		sum := r.Header.Get("X-Amz-Content-Sha256")
		if err != nil || err2 != nil || sum != sumOf(string(body)) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		again := r.Clone(r.Context())
		for name := range again.Header {
			if !strings.Contains(r.Header.Get("Authorization"), strings.ToLower(name)) {
				again.Header.Del(name)
			}
		}
		signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
		again.URL.Host = r.Host
		key := aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret}
		if err := signer.SignHTTP(r.Context(), key, again, sum, "s3", "us-east-1", at); err != nil || again.Header.Get("Authorization") != r.Header.Get("Authorization") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}
