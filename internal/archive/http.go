package archive

import (
	"cmp"
	"context"
	"net/http"
	"strings"
)

// A server is an archive that takes files by PUT, below a URL.
type server struct {
	*web
	base string
}

func (s *server) prepare(r *http.Request) error {
	v, err := s.secret(r.Context())
	if err == nil && !v.IsZero() {
		r.Header.Set("Authorization", "Bearer "+v.Reveal())
	}
	return err
}

// find asks by HEAD, and by GET where the answer does not say what the content is. A server that knows neither has not
// answered.
func (s *server) find(ctx context.Context, o *object) (presence, error) {
	x := s.exchange(ctx)
	defer x.close()
	r, err := s.do(x, http.MethodHead, s.base+o.name, nil, func(r *http.Request) error {
		r.Header.Set("Want-Repr-Digest", "sha-256=10") // RFC 9530
		return s.prepare(r)
	})
	if err != nil {
		return unknown, err
	}
	r.Body.Close()
	switch r.StatusCode {
	case http.StatusOK:
		if r.ContentLength >= 0 && r.ContentLength != o.size && r.Header.Get("Content-Encoding") == "" {
			return other, nil
		}
		if found := o.byDigest(r.Header); found != unknown {
			return found, nil
		}
	case http.StatusNotFound, http.StatusGone:
		return absent, nil
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
	default:
		return unknown, refused(r, "HEAD")
	}
	return s.read(ctx, o)
}

// byDigest compares what headers say of a content: a digest of RFC 9530 or of RFC 3230, or an entity tag that is a SHA-256. An
// entity tag that is another one says nothing.
func (o *object) byDigest(h http.Header) presence {
	for _, line := range append(h.Values("Repr-Digest"), h.Values("Digest")...) {
		for item := range strings.SplitSeq(line, ",") {
			algorithm, value, _ := strings.Cut(strings.TrimSpace(item), "=")
			if !strings.EqualFold(algorithm, "sha-256") {
				continue
			}
			if strings.Trim(value, ":") == o.base64() {
				return same
			}
			return other
		}
	}
	if strings.EqualFold(strings.Trim(h.Get("ETag"), `"`), o.sum) {
		return same
	}
	return unknown
}

// read compares the content itself.
func (s *server) read(ctx context.Context, o *object) (presence, error) {
	x := s.exchange(ctx)
	defer x.close()
	r, err := s.do(x, http.MethodGet, s.base+o.name, nil, s.prepare)
	if err != nil {
		return unknown, err
	}
	defer discard(r)
	return o.compare(x, r)
}

// compare judges the answer to a GET.
func (o *object) compare(x *exchange, r *http.Response) (presence, error) {
	switch r.StatusCode {
	case http.StatusOK:
		found, err := o.sameContent(moving{r.Body, x})
		if err != nil {
			err = unanswered(x.ctx, r.Request, err)
		}
		return found, err
	case http.StatusNotFound, http.StatusGone:
		return absent, nil
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return unknown, nil
	}
	return unknown, refused(r, "GET")
}

func (s *server) put(ctx context.Context, o *object) error {
	x := s.exchange(ctx)
	defer x.close()
	r, err := s.do(x, http.MethodPut, s.base+o.name, o.body(), func(r *http.Request) error {
		r.Header.Set("If-None-Match", "*")
		r.Header.Set("Content-Type", "application/zstd")
		r.Header.Set("Repr-Digest", "sha-256=:"+o.base64()+":")
		return s.prepare(r)
	})
	if err != nil {
		return err
	}
	defer discard(r)
	o.at("answered")
	switch r.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent:
		return nil
	case http.StatusPreconditionFailed:
		return errThere
	}
	e := refused(r, "PUT")
	if r.StatusCode == http.StatusAccepted {
		e.Hint = "that is no promise: the server is to answer when it has the file"
	}
	e.Hint = cmp.Or(e.Hint, "the server's own log may say why")
	return e
}
