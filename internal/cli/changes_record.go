package cli

import (
	"context"
	"fmt"

	"agentbox/internal/audit"
	"agentbox/internal/workspace"
)

// maxRecorded is how many changed paths the record of a session lists. All of them are in its digest.
const maxRecorded = 20_000

// see reads what the agent has changed and puts it on the record, before anybody decides about it.
func (k *keeper) see(ctx context.Context, r *recorder) {
	if k == nil || !k.began || k.from.held() {
		return
	}
	ctx, signals := newCourier(context.WithoutCancel(ctx), false)
	defer signals.stop()
	k.seen = k.changes()
	k.review, k.unseen = k.look(ctx, k.seen)
	if r == nil || r.log == nil {
		return
	}
	if k.unseen != nil {
		_ = r.log.Append(&audit.Changes{Items: []audit.Changed{}, Error: audit.Text(k.unseen.Error())})
		return
	}
	for _, e := range changesRecords(k.review) {
		_ = r.log.Append(e)
	}
}

// changesRecords are the records of a review, each of a size that a reader can hold; none of a session that changed
// nothing.
func changesRecords(review *workspace.Review) (list []*audit.Changes) {
	if len(review.Changes) == 0 {
		return nil
	}
	listed := review.Changes[:min(maxRecorded, len(review.Changes))]
	size := 0
	for i := range listed {
		item, length := recordChange(&listed[i])
		if size += length; len(list) == 0 || size > itemsSize {
			list = append(list, &audit.Changes{Changes: len(review.Changes), Digest: audit.Text(review.Digest()), First: i})
			size = length
		}
		last := list[len(list)-1]
		last.Items = append(last.Items, item)
	}
	list[len(list)-1].Omitted = len(review.Changes) - len(listed)
	return list
}

// recordChange is a change for the record, and about how long that is. A short secret can be guessed from its hash, so
// what the profile masks has none.
func recordChange(c *workspace.Change) (audit.Changed, int) {
	item := audit.Changed{Path: audit.Text(c.Path), From: audit.Text(c.From), Kind: audit.Text(c.Kind), Masked: audit.Text(c.Masked),
		Protected: audit.Text(c.Protected), Refused: audit.Text(c.Refused), Conflict: audit.Text(c.Conflict),
		Before: recordContent(c.Before), After: recordContent(c.After)}
	if c.Masked != "" {
		item.Before.SHA256, item.After.SHA256 = "", ""
	}
	for _, h := range c.Handoffs {
		item.Handoffs = append(item.Handoffs, audit.Text(h.Class))
	}
	length := 500 + 2*(len(item.Path)+len(item.From)+len(item.Refused)+len(item.Conflict))
	for _, name := range append(item.Before.Attrs, item.After.Attrs...) {
		length += len(name)
	}
	return item, length
}

// changesSummary is what `log` shows of them at a glance.
func changesSummary(e *audit.Changes) string {
	if e.Error != "" {
		return "what the agent changed could not be read: " + string(e.Error)
	}
	if e.First > 0 {
		return fmt.Sprintf("%s from number %d on", counted(len(e.Items), "path", "paths"), e.First)
	}
	s := counted(e.Changes, "path", "paths") + " changed:"
	for i, item := range e.Items {
		if i == 3 {
			return s + " …"
		}
		s += fmt.Sprintf(" %s %s", item.Kind, shorten(string(item.Path), 60))
	}
	return s
}
