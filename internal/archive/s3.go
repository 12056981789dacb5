package archive

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"agentbox/profile"
)

// A bucket is an archive that speaks S3. A file is one object and one request: what was cut off has left nothing, no part of
// an upload that somebody pays for.
type bucket struct {
	*web
	base, region string
	signer       *v4.Signer
}

// biggestObject is what one request may carry.
const biggestObject = 5 << 30

// emptySHA256 is that of no bytes.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func newBucket(a profile.Archive, w *web) *bucket {
	b := &bucket{web: w, region: a.Region, signer: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })}
	switch {
	case a.URL != "":
		b.base = a.URL + "/" + a.Bucket
	case strings.Contains(a.Bucket, "."): // no certificate has a name with more labels
		b.base = "https://s3." + a.Region + ".amazonaws.com/" + a.Bucket
	default:
		b.base = "https://" + a.Bucket + ".s3." + a.Region + ".amazonaws.com"
	}
	if a.Prefix != "" {
		b.base += "/" + strings.ReplaceAll(a.Prefix, "=", "%3D") // as the signature has it
	}
	b.base += "/"
	return b
}

var errKeyForm = errors.New("audit.archive_token is not ACCESS_KEY:SECRET_KEY, with :SESSION_TOKEN behind it where there is one")

// sign adds the headers and the signature, over the SHA-256 of the content.
func (b *bucket) sign(r *http.Request, sum string, headers map[string]string) error {
	v, err := b.secret(r.Context())
	if err != nil {
		return err
	}
	key := strings.SplitN(v.Reveal(), ":", 3)
	if len(key) < 2 || key[0] == "" || key[1] == "" {
		return &Error{Err: errKeyForm, all: true}
	}
	c := aws.Credentials{AccessKeyID: key[0], SecretAccessKey: key[1]}
	if len(key) == 3 {
		c.SessionToken = key[2]
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("X-Amz-Content-Sha256", sum)
	return b.signer.SignHTTP(r.Context(), c, r, sum, "s3", b.region, time.Now())
}

// find asks for what the bucket knows of the object. A key that may only write is not told.
func (b *bucket) find(ctx context.Context, o *object) (presence, error) {
	if o.size > biggestObject {
		return unknown, errors.New("it is larger than 5 GiB, which is the most that a bucket takes at once")
	}
	x := b.exchange(ctx)
	defer x.close()
	r, err := b.do(x, http.MethodHead, b.base+o.name, nil, func(r *http.Request) error {
		return b.sign(r, emptySHA256, map[string]string{"X-Amz-Checksum-Mode": "ENABLED"})
	})
	if err != nil {
		return unknown, err
	}
	r.Body.Close()
	switch r.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return absent, nil
	case http.StatusForbidden:
		return unknown, nil
	default:
		return unknown, b.refused(r, "HEAD")
	}
	if r.ContentLength >= 0 && r.ContentLength != o.size {
		return other, nil
	}
	for _, said := range []struct{ got, want string }{
		{r.Header.Get("X-Amz-Checksum-Sha256"), o.base64()}, // by the server itself, so it counts first
		{r.Header.Get("X-Amz-Meta-Sha256"), o.sum},
	} {
		switch {
		case said.got == said.want:
			return same, nil
		case said.got != "" && !strings.Contains(said.got, "-"): // of the parts of an upload
			return other, nil
		}
	}
	return b.read(ctx, o)
}

// read compares the content of an object that somebody else put there.
func (b *bucket) read(ctx context.Context, o *object) (presence, error) {
	x := b.exchange(ctx)
	defer x.close()
	r, err := b.do(x, http.MethodGet, b.base+o.name, nil, func(r *http.Request) error { return b.sign(r, emptySHA256, nil) })
	if err != nil {
		return unknown, err
	}
	defer discard(r)
	if r.StatusCode == http.StatusForbidden {
		return unknown, nil
	}
	return o.compare(x, r)
}

func (b *bucket) put(ctx context.Context, o *object) error {
	x := b.exchange(ctx)
	defer x.close()
	r, err := b.do(x, http.MethodPut, b.base+o.name, o.body(), func(r *http.Request) error {
		return b.sign(r, o.sum, map[string]string{"If-None-Match": "*", "Content-Type": "application/zstd",
			"X-Amz-Meta-Sha256": o.sum, "X-Amz-Checksum-Sha256": o.base64()})
	})
	if err != nil {
		return err
	}
	defer discard(r)
	o.at("answered")
	switch r.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusPreconditionFailed:
		return errThere
	}
	return b.refused(r, "PUT")
}

// meanings are codes of S3 with more in them than the status has. No other text of an answer is repeated.
var meanings = map[string]string{
	"AccessDenied":                       "the key may not write there",
	"InvalidAccessKeyId":                 "there is no such access key",
	"SignatureDoesNotMatch":              "the secret key does not belong to the access key, or the region is another",
	"AuthorizationHeaderMalformed":       "the region is another",
	"ExpiredToken":                       "the session token has ended",
	"InvalidToken":                       "the session token is not good",
	"RequestTimeTooSkewed":               "this machine's clock is wrong",
	"NoSuchBucket":                       "there is no such bucket",
	"NotImplemented":                     "the server does not know what keeps an object from being overwritten (If-None-Match)",
	"XAmzContentSHA256Mismatch":          "the content changed on its way",
	"BadDigest":                          "the content changed on its way",
	"QuotaExceeded":                      "the bucket is full",
	"XMinioStorageFull":                  "the server's disk is full",
	"InvalidObjectState":                 "the object is in cold storage",
	"ConditionalRequestConflict":         "somebody writes the same object",
	"PermanentRedirect":                  "the bucket is in another region",
	"IllegalLocationConstraintException": "the bucket is in another region",
}

func (b *bucket) refused(r *http.Response, what string) *Error {
	e := refused(r, what)
	if region := r.Header.Get("X-Amz-Bucket-Region"); region != b.region && made(region, letters+digits+"-") && len(region) < 32 {
		e.Hint, e.all, e.again = fmt.Sprintf("the bucket is in the region %s: write region=%s in audit.archive", region, region), true, false
		return e
	}
	var answer struct{ Code string }
	if err := xml.NewDecoder(io.LimitReader(r.Body, mostIgnored)).Decode(&answer); err != nil {
		return e
	}
	if text := meanings[answer.Code]; text != "" {
		e.Err = fmt.Errorf("%w: %s", e.Err, text)
	}
	switch answer.Code {
	case "ConditionalRequestConflict", "XAmzContentSHA256Mismatch", "BadDigest":
		e.again = true
	case "QuotaExceeded", "XMinioStorageFull", "RequestTimeTooSkewed", "NotImplemented", "NoSuchBucket", "AuthorizationHeaderMalformed":
		e.all, e.again, e.Hint = true, false, ""
	}
	return e
}
