package archive

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"agentbox/profile"
)

// A bucket that does not take a file says why in words, and repeats nothing.
func TestBucketsThatRefuse(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *backend{"bucket": bucketBackend, "bucket of versitygw": versityBackend} {
		t.Run(name, func(t *testing.T) {
			for name, tc := range map[string]struct {
				change func(b *backend)
				want   string
			}{
				"the right key":          {func(*backend) {}, "shipped\nshipped"},
				"another secret key":     {func(b *backend) { b.token += "x" }, "is answered with 403 Forbidden"},
				"another bucket":         {func(b *backend) { b.archive = strings.Replace(b.archive, "//logs/", "//others/", 1) }, "PUT is answered with 404 Not Found: there is no such bucket\nuntried"},
				"a token that is no key": {func(b *backend) { b.token = testSecret }, errKeyForm.Error() + "\nuntried"},
				"half a key":             {func(b *backend) { b.token = testKey + ":" }, errKeyForm.Error() + "\nuntried"},
			} {
				b := start(t)
				right := b.token
				tc.change(b)
				dir, _ := closedLogs(t, 10, 10)
				got := outcomes(ship(t, dir, to(t, b)))
				if !strings.HasSuffix(got, tc.want) && !strings.Contains(got, tc.want) {
					t.Errorf("%s: %s", name, got)
				}
				for _, secret := range append(strings.Split(right, ":"), b.token) {
					if strings.Contains(got, secret) {
						t.Errorf("%s: it says the key: %s", name, got)
					}
				}
				noSecretBelow(t, dir, right)
			}
		})
	}
}

// answers is a bucket whose server says what a test wants.
func answers(t *testing.T, f http.HandlerFunc) *Destination {
	t.Helper()
	b := serve(t, f)
	b.archive, b.token = "s3://logs?endpoint="+strings.TrimSuffix(b.archive, "/logs/"), testKey+":"+testSecret
	return to(t, b)
}

func TestWhatABucketSays(t *testing.T) {
	const other64 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	for name, tc := range map[string]struct {
		head map[string]string // of an object that is there, "" standing for ours
		put  int
		code string
		want string
	}{
		"the same, by its own checksum":             {head: map[string]string{"X-Amz-Checksum-Sha256": ""}, want: "there"},
		"another, by its own checksum":              {head: map[string]string{"X-Amz-Checksum-Sha256": other64, "X-Amz-Meta-Sha256": ""}, want: errOther.Error()},
		"the same, by what we noted":                {head: map[string]string{"X-Amz-Meta-Sha256": ""}, want: "there"},
		"another, by what somebody noted":           {head: map[string]string{"X-Amz-Meta-Sha256": sumOf("x")}, want: errOther.Error()},
		"a checksum of parts, and the same content": {head: map[string]string{"X-Amz-Checksum-Sha256": other64 + "-3"}, want: "there"},
		"no hash, and the same content":             {head: map[string]string{}, want: "there"},
		"a conflict, again and again":               {put: 409, code: "ConditionalRequestConflict", want: "somebody writes the same object (3 attempts)"},
		"a clock that is wrong":                     {put: 403, code: "RequestTimeTooSkewed", want: "this machine's clock is wrong"},
		"no condition is known":                     {put: 501, code: "NotImplemented", want: "what keeps an object from being overwritten"},
		"a code of its own":                         {put: 400, code: testSecret, want: "PUT is answered with 400 Bad Request"},
		"it is slow":                                {put: 503, code: "SlowDown", want: "503 Service Unavailable (3 attempts)"},
		"it takes it":                               {put: 200, want: "shipped"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, want := closedLogs(t, 5000)
			o := object{sum: sumOf(want[first])}
			d := answers(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodPut:
					if tc.head != nil || r.Header.Get("If-None-Match") != "*" {
						t.Error("it was sent, or without a condition")
					}
					_, _ = io.Copy(io.Discard, r.Body)
					w.WriteHeader(tc.put)
					fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", tc.code, testSecret)
				case tc.head == nil:
					w.WriteHeader(http.StatusNotFound)
				default:
					for name, value := range tc.head {
						if value == "" {
							value = map[string]string{"X-Amz-Checksum-Sha256": o.base64(), "X-Amz-Meta-Sha256": o.sum}[name]
						}
						w.Header().Set(name, value)
					}
					w.Header().Set("Content-Length", "5000")
					_, _ = io.WriteString(w, want[first])
				}
			})
			if got := outcomes(ship(t, dir, d)); !strings.Contains(got, tc.want) || strings.Contains(got, testSecret) {
				t.Error(got)
			}
		})
	}
}

// A key that may only write is not told what is there. What it wrote is not written a second time.
func TestKeyThatMayOnlyWrite(t *testing.T) {
	stored := map[string]int{}
	d := answers(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodPut:
			w.WriteHeader(http.StatusForbidden)
		case stored[r.URL.Path] > 0:
			w.WriteHeader(http.StatusPreconditionFailed)
		default:
			stored[r.URL.Path]++
		}
	})
	dir, _ := closedLogs(t, 10)
	stored["/logs/1ryn6z2q1j1n.000001.jsonl.zst"] = 1
	write(t, dir+"/1ryn6z2q1j1n.000002.jsonl.zst", "x")
	if got := outcomes(ship(t, dir, d)); got != "failed: "+errThere.Error()+"\nshipped" {
		t.Error(got)
	}
}

func TestBucketInAnotherRegion(t *testing.T) {
	d := answers(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amz-Bucket-Region", "eu-central-1")
		w.WriteHeader(http.StatusMovedPermanently)
	})
	dir, _ := closedLogs(t, 10)
	items := ship(t, dir, d)
	var e *Error
	if got := outcomes(items); !strings.Contains(got, "301") || !asError(items[0].Err, &e) || !strings.Contains(e.Hint, "write region=eu-central-1") {
		t.Errorf("%s %v", got, e)
	}
}

func asError(err error, e **Error) bool {
	var ok bool
	*e, ok = err.(*Error) //nolint:errorlint // it is not wrapped
	return ok
}

func TestWhereABucketIs(t *testing.T) {
	for text, want := range map[string]string{
		"s3://logs?region=eu-central-1":                           "https://logs.s3.eu-central-1.amazonaws.com/",
		"s3://logs/a/b?region=eu-central-1":                       "https://logs.s3.eu-central-1.amazonaws.com/a/b/",
		"s3://logs.example.com/a?region=eu-central-1":             "https://s3.eu-central-1.amazonaws.com/logs.example.com/a/",
		"s3://logs/y=1/?endpoint=https://s3.example.com":          "https://s3.example.com/logs/y%3D1/",
		"s3://logs?endpoint=http://127.0.0.1:9000/&region=garage": "http://127.0.0.1:9000/logs/",
	} {
		a, err := profile.ParseArchive(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := newBucket(a, nil).base; got != want {
			t.Errorf("%s is at %s", text, got)
		}
	}
}
