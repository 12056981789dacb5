package report

import (
	"fmt"
	"slices"

	"agentbox/internal/audit"
)

// network takes what left the box, and what did not.
func (b *builder) network(e audit.Event) {
	switch e := e.(type) {
	case *audit.NetworkConnection:
		if h := b.host(Text(e.Host), e.Port, Text(e.Rule)); h != nil {
			h.Connections++
			h.BytesOut = plus(h.BytesOut, e.BytesOut)
			h.BytesIn = plus(h.BytesIn, e.BytesIn)
		}
		b.r.BytesOut = plus(b.r.BytesOut, e.BytesOut)
		b.r.BytesIn = plus(b.r.BytesIn, e.BytesIn)
	case *audit.NetworkRequest:
		b.request(e)
	case *audit.NetworkRefused:
		target := Text(fmt.Sprintf("%s:%d", e.Host, e.Port))
		if e.Path != "" {
			target += " " + Text(e.Method) + " " + Text(e.Path)
		}
		b.refuse("connection", target, Text(e.Reason), Text(e.Rule))
	case *audit.NetworkTripwire:
		if c := b.credential(string(e.Credential)); c != nil {
			c.Tripwires++
		}
		b.moment(true, "the placeholder of %s was in a %s for %s", Text(e.Credential), Text(e.Where), Text(e.Host))
		b.find(true, "somebody looked for a secret: the placeholder of %s was in a %s for %s", Text(e.Credential), Text(e.Where), Text(e.Host))
	case *audit.SecretCut:
		b.moment(true, "%s sent the secret of %s back; the box did not get it", Text(e.Host), Text(e.Credential))
		b.find(true, "%s sent the secret of %s back; the box did not get it", Text(e.Host), Text(e.Credential))
	case *audit.CredentialRefresh:
		if e.Error != "" {
			b.find(false, "the secret of %s could not be read again: %s", Text(e.Credential), Text(e.Error))
		}
	case *audit.BudgetWarning:
		b.moment(false, "%.4f USD and %d tokens of the budget spent", e.SpentUSD, e.Tokens)
	case *audit.BudgetReached:
		b.moment(true, "the budget was reached: %s", Text(e.Action))
		b.find(true, "the budget was reached at %.4f USD and %d tokens", e.SpentUSD, e.Tokens)
	}
}

func (b *builder) request(e *audit.NetworkRequest) {
	if h := b.host(Text(e.Host), e.Port, Text(e.Rule)); h != nil {
		h.Requests++
		h.BytesOut = plus(h.BytesOut, e.BytesOut)
		h.BytesIn = plus(h.BytesIn, e.BytesIn)
	}
	b.r.BytesOut = plus(b.r.BytesOut, e.BytesOut)
	b.r.BytesIn = plus(b.r.BytesIn, e.BytesIn)
	if e.CostUSD > 0 {
		b.r.TotalUSD = within(b.r.TotalUSD + e.CostUSD)
		b.r.Costs = thin(append(b.r.Costs, Cost{b.seconds(), b.r.TotalUSD}))
	}
	for _, name := range e.Credentials {
		c := b.credential(string(name))
		if c == nil {
			continue
		}
		if c.Requests++; c.Requests == 1 {
			c.First = b.at.Time
		}
		c.Last = b.at.Time
		if !slices.Contains(c.Hosts, Text(e.Host)) && len(c.Hosts) < maxRows {
			c.Hosts = append(c.Hosts, Text(e.Host))
			if p, ok := rotate(string(e.Host)); ok && !slices.Contains(c.Rotate, p) {
				c.Rotate = append(c.Rotate, p)
			}
		}
	}
}

// host is the row of one; nil is that there is no room.
func (b *builder) host(name Text, port uint16, rule Text) *Host {
	key := fmt.Sprintf("%s:%d", string(name), port)
	h, ok := b.hosts[key]
	if !ok {
		if len(b.hosts) >= maxRows {
			b.r.Omitted.Hosts++
			return nil
		}
		h = &Host{Host: name, Port: port, Rule: rule, First: b.at.Time}
		b.hosts[key] = h
		b.moment(false, "reached %s:%d for the first time", name, port)
	}
	h.Last = b.at.Time
	return h
}

func (b *builder) credential(name string) *Credential {
	c, ok := b.credentials[name]
	if !ok && len(b.credentials) < maxRows {
		c = &Credential{Name: Text(name), Hosts: []Text{}, Rotate: []Place{}}
		b.credentials[name] = c
	}
	return c
}

// workspace takes what became of files.
func (b *builder) workspace(e audit.Event) {
	f := &b.r.Files
	switch e := e.(type) {
	case *audit.Changes:
		b.changes(e)
	case *audit.Continued:
		b.moment(!e.Sealed, "a person decides about the changes")
		if !e.Sealed {
			b.find(true, "the log of the session has no seal, and further decisions follow it")
		}
	case *audit.ApplyBegin:
		b.moment(false, "%s to be applied", counted(e.Items, "path is", "paths are"))
	case *audit.ApplyItems:
		b.applied(e.Items)
	case *audit.Apply:
		b.applied(e.Items)
		f.Applied = plus(f.Applied, e.Paths)
		b.moment(false, "%s applied, receipt %s", counted(e.Paths, "path was", "paths were"), Text(e.Receipt))
	case *audit.ApplyUndone:
		b.moment(true, "an apply came to nothing: %s", Text(e.Why))
	case *audit.Discard:
		f.Discarded = true
		b.moment(false, "%s discarded", counted(e.Changes, "change was", "changes were"))
	}
}

// handoff begins the remark about a file that something outside the box runs or obeys.
const handoff = "run or obeyed outside the box: "

func (b *builder) changes(e *audit.Changes) {
	f := &b.r.Files
	f.Known, f.Changes, f.Digest, f.Error = true, e.Changes, Text(e.Digest), Text(e.Error)
	if e.First == 0 {
		b.moment(e.Error != "", "%s changed", counted(e.Changes, "path was", "paths were"))
	}
	b.r.Omitted.Files = plus(b.r.Omitted.Files, e.Omitted)
	for _, c := range e.Items {
		one := fileOf(c.Path, c.From, c.Kind, c.Before, c.After)
		for _, h := range c.Handoffs {
			one.Remarks = append(one.Remarks, handoff+Text(h))
			b.find(false, "a change of what runs or is obeyed outside the box: %s", Text(h))
		}
		for what, line := range map[Text]audit.Text{"masked by ": c.Masked, "protected by ": c.Protected, "never applied: ": c.Refused, "changed on the host: ": c.Conflict} {
			if line != "" {
				one.Remarks = append(one.Remarks, what+Text(line))
			}
		}
		slices.Sort(one.Remarks)
		b.file(one)
	}
}

// meanwhile takes what the agent has written so far, of a session whose log does not have it yet.
func (b *builder) meanwhile(list []*audit.Changes) {
	if b.r.Files.Known {
		return
	}
	b.at.Type = audit.Text((audit.Changes{}).Type())
	for _, e := range list {
		b.changes(e)
	}
}

func fileOf(path, from, kind audit.Text, before, after audit.Content) File {
	f := File{Path: Text(path), From: Text(from), Kind: Text(kind), Mode: Text(after.Mode), Size: after.Size, SHA256: Text(after.SHA256)}
	if before.Mode != after.Mode && after.Mode != "" {
		f.Was = Text(before.Mode)
	}
	return f
}

func (b *builder) file(one File) {
	if len(b.r.Files.List) >= maxRows {
		b.r.Omitted.Files++
		return
	}
	b.files[one.Path] = len(b.r.Files.List)
	b.r.Files.List = append(b.r.Files.List, one)
}

// applied marks what was written to the project. A file that something outside the box runs deserves a look.
func (b *builder) applied(items []audit.Item) {
	for _, item := range items {
		i, ok := b.files[Text(item.Path)]
		if !ok {
			one := fileOf(item.Path, item.From, item.Kind, item.Before, item.After)
			one.Applied = true
			b.file(one)
			continue
		}
		one := &b.r.Files.List[i]
		one.Applied = true
		if len(one.Remarks) > 0 {
			b.find(true, "%s was applied: %s", one.Path, one.Remarks[0])
		}
	}
}
