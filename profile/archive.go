package profile

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// The kinds of an [Archive].
const (
	ArchiveDir     = "dir"
	ArchiveCommand = "command"
	ArchiveHTTP    = "http"
	ArchiveS3      = "s3"
)

// An Archive is where closed logs go, taken apart. The zero value is nowhere.
type Archive struct {
	Kind string
	Path string   // of a directory; it may begin with "~/"
	Argv []string // of a command, the program by its full path
	URL  string   // of a server, with a slash at its end; of a bucket, its service, or "" for Amazon's

	Bucket, Prefix, Region string // the prefix without a slash at either end
}

// String is the archive as it is written, in one way of several. It holds no secret.
func (a Archive) String() string {
	switch a.Kind {
	case ArchiveDir:
		return "dir:" + a.Path
	case ArchiveCommand:
		return "command:" + strings.Join(a.Argv, " ")
	case ArchiveHTTP:
		return a.URL
	case ArchiveS3:
		s := "s3://" + a.Bucket
		if a.Prefix != "" {
			s += "/" + a.Prefix
		}
		q := url.Values{"region": {a.Region}}
		if a.URL != "" {
			q.Set("endpoint", a.URL)
		}
		return s + "?" + q.Encode()
	}
	return ""
}

// Authenticates reports whether such an archive can be shown a token.
func (a Archive) Authenticates() bool { return a.Kind == ArchiveHTTP || a.Kind == ArchiveS3 }

// ParseArchive reads what audit.archive may say.
func ParseArchive(text string) (Archive, error) {
	a, c := parseArchive(text)
	if c != nil {
		return Archive{}, fmt.Errorf("%s", c.msg)
	}
	return a, nil
}

const archiveForms = `write a directory, "command:/full/path ARGS", "https://host/path/", or "s3://bucket/prefix?endpoint=https://host&region=name"`

func parseArchive(text string) (Archive, *complaint) {
	kind, rest, _ := strings.Cut(text, ":")
	switch {
	case fullPath(text):
		return archiveDir(text)
	case kind == "dir":
		return archiveDir(rest)
	case kind == "command":
		a := Archive{Kind: ArchiveCommand, Argv: strings.Fields(rest)}
		if len(a.Argv) == 0 || !fullPath(a.Argv[0]) || cleanPath(a.Argv[0]) != a.Argv[0] {
			return a, &complaint{msg: "names no program by its full path", hint: `write "command:/usr/local/bin/archive-log"`}
		}
		return a, nil
	case kind == "https" || kind == "http":
		return archiveHTTP(text)
	case strings.HasPrefix(text, "s3://"):
		return archiveS3(text)
	}
	return Archive{}, &complaint{msg: "is no place that a log can be sent to", hint: archiveForms}
}

func archiveDir(path string) (Archive, *complaint) {
	if w := fileProblem(path); w != nil {
		return Archive{}, w
	}
	return Archive{Kind: ArchiveDir, Path: path}, nil
}

// archiveHTTP reads a server's URL. No message repeats it, as people put passwords there.
func archiveHTTP(text string) (Archive, *complaint) {
	u, w := serverURL(text)
	if w != nil {
		return Archive{}, w
	}
	if u.RawQuery != "" || u.ForceQuery {
		return Archive{}, &complaint{msg: "has a query in it", hint: "a log's name is put behind the path; name a token in audit.archive_token"}
	}
	if !strings.HasSuffix(u.Path, "/") {
		return Archive{}, &complaint{msg: "does not end with a slash", hint: "a log's name is put behind it: write the path of a directory"}
	}
	return Archive{Kind: ArchiveHTTP, URL: u.String()}, nil
}

// serverURL is one that a token may be sent to.
func serverURL(text string) (*url.URL, *complaint) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, &complaint{msg: "is not the URL of a server", hint: `write "https://logs.example.com/agentbox/"`}
	case u.User != nil:
		return nil, &complaint{msg: "has a user or password in it", hint: "a profile holds no secrets; name them in audit.archive_token"}
	case u.Fragment != "" || strings.Contains(text, "#"):
		return nil, &complaint{msg: "has a fragment in it", hint: "remove what begins with #"}
	case u.Scheme == "http" && !loopbackName(u.Hostname()):
		return nil, &complaint{msg: "would send logs in the clear", hint: `write "https://"; plain HTTP is for the host's loopback alone ("http://127.0.0.1:9000/")`}
	}
	return u, nil
}

// loopbackName takes addresses alone: what "localhost" leads to is for a resolver to say.
func loopbackName(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

var (
	bucketName = lazily(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	regionName = lazily(`^[a-z0-9-]{1,64}$`)
	keyPrefix  = lazily(`^[A-Za-z0-9._=-]+(/[A-Za-z0-9._=-]+)*$`)
)

func archiveS3(text string) (Archive, *complaint) {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return Archive{}, &complaint{msg: "is not the URL of a bucket", hint: archiveForms}
	}
	q, err := url.ParseQuery(u.RawQuery)
	a := Archive{Kind: ArchiveS3, Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), URL: q.Get("endpoint"), Region: q.Get("region")}
	for key, values := range q {
		if !slices.Contains([]string{"endpoint", "region"}, key) || len(values) != 1 {
			err = fmt.Errorf("%q", key)
		}
	}
	switch matches := func(re func() *regexp.Regexp, s string) bool { return re().MatchString(s) }; {
	case err != nil:
		return a, &complaint{msg: "has other parameters than one endpoint and one region", hint: archiveForms}
	case !matches(bucketName, a.Bucket):
		return a, &complaint{msg: fmt.Sprintf("%q is not the name of a bucket", a.Bucket), hint: "small letters, digits, - and ."}
	case a.Prefix != "" && (!matches(keyPrefix, a.Prefix) || cleanPath("/"+a.Prefix) != "/"+a.Prefix):
		return a, &complaint{msg: fmt.Sprintf("%q is not a prefix for names", a.Prefix), hint: "letters, digits, / and ._=-"}
	case a.Region == "" && a.URL != "":
		a.Region = "us-east-1" // what servers that know no regions take
	case a.Region == "":
		return a, &complaint{msg: "names neither an endpoint nor a region", hint: `write "?region=eu-central-1" for Amazon's, "?endpoint=https://host" for another`}
	case !matches(regionName, a.Region):
		return a, &complaint{msg: fmt.Sprintf("%q is not the name of a region", a.Region), hint: `write "eu-central-1"`}
	}
	if a.URL == "" {
		return a, nil
	}
	end, w := serverURL(a.URL)
	if w == nil && (end.Path != "" && end.Path != "/" || end.RawQuery != "") {
		w = &complaint{msg: "has more than a host and a port in it", hint: `write "https://s3.example.com"`}
	}
	if w != nil {
		return a, &complaint{msg: "endpoint " + w.msg, hint: w.hint}
	}
	a.URL = end.Scheme + "://" + end.Host
	return a, nil
}

func (c *checker) archive() {
	a := c.p.Audit
	if a.ArchiveToken != "" {
		c.archiveToken(a)
	}
	if a.Archive == "" {
		return
	}
	to, w := parseArchive(a.Archive)
	if w != nil {
		c.finding("audit.archive", *w)
		return
	}
	c.quoted("audit.archive", a.Archive)
	if to.Kind == ArchiveS3 && a.ArchiveToken == "" {
		c.add("audit.archive_token", "is missing: a bucket wants a key", `write archive_token = "file:~/.config/agentbox/archive-key"`)
	}
	if a.ArchiveToken != "" && !to.Authenticates() {
		c.add("audit.archive_token", "is for a server or a bucket, and audit.archive names neither", "remove it")
	}
}

func (c *checker) archiveToken(a Audit) {
	const at = "audit.archive_token"
	if w := referenceProblem(a.ArchiveToken); w != nil {
		c.finding(at, *w)
		return
	}
	if a.Archive == "" {
		c.add(at, "has nowhere to go: there is no audit.archive", "name one, or remove this")
	}
	c.quoted(at, a.ArchiveToken)
	c.handedIn(at, a.ArchiveToken, noHolder)
}

// archiveAt checks where an archive of this host lies.
func (c *checker) archiveAt(p placed) {
	a, w := parseArchive(c.p.Audit.Archive)
	if w != nil {
		return
	}
	const at = "audit.archive"
	if a.Kind == ArchiveCommand && within(p.expand(a.Argv[0]), p.workspace) {
		c.add(at, fmt.Sprintf("%q lies in the workspace, where the agent could write", a.Argv[0]), "name a program outside")
	}
	if a.Kind != ArchiveDir {
		return
	}
	path := p.expand(a.Path)
	if within(path, p.workspace) {
		c.add(at, fmt.Sprintf("%q lies in the workspace, where the agent could write", a.Path), "name a directory outside")
	}
	if within(path, p.expand(c.p.Audit.Dir)) {
		c.add(at, fmt.Sprintf("%q lies in audit.dir: what happens to the one happens to the other", a.Path), "name a directory elsewhere, on another disk at best")
	}
}
