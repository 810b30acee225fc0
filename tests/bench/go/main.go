// Renders a compiled form for rows by Go's own template engine and Sprig, and tells how long each row took.
//
// The first line of the input is the form, every other a round of rows; each is answered by one line. Of a row, timed
// is what the reconciler does: execute the templates, take the types, build the objects, encode them as sorted JSON,
// and hash that.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
)

// One text of the form.
type leaf struct {
	Template string `json:"template"`
	Type     string `json:"type"`
	compiled *template.Template
}

// A part of an object: a leaf, a map or list with leaves below, or a constant.
type plan struct {
	Leaf     *leaf   `json:"leaf"`
	Map      []field `json:"map"`
	List     []plan  `json:"list"`
	Constant any     `json:"constant"`
}

type field struct {
	Key  string `json:"key"`
	Plan plan   `json:"plan"`
}

type resource struct {
	ID             string  `json:"id"`
	DeletionPolicy string  `json:"deletionPolicy"`
	APIVersion     *leaf   `json:"apiVersion"`
	Kind           *leaf   `json:"kind"`
	Name           *leaf   `json:"name"`
	Labels         []named `json:"labels"`
	Annotations    []named `json:"annotations"`
	Body           plan    `json:"body"`
}

type named struct {
	Key  string `json:"key"`
	Leaf *leaf  `json:"leaf"`
}

type form struct {
	Namespace string     `json:"namespace"`
	Resources []resource `json:"resources"`
}

// A row, with the node that it belongs to.
type row struct {
	Vars  map[string]any `json:"vars"`
	Node  string         `json:"node"`
	UID   string         `json:"uid"`
	Shard string         `json:"shard"`
}

type round struct {
	Rows    []row `json:"rows"`
	Objects bool  `json:"objects"`
}

type object struct {
	ID       string         `json:"id"`
	Manifest map[string]any `json:"manifest"`
	Hash     string         `json:"hash"`
}

type answer struct {
	TookNs  []int64    `json:"tookNs"`
	Hashes  [][]string `json:"hashes"`
	Objects [][]object `json:"objects"`
}

var (
	apiVersions = regexp.MustCompile(`^(?:([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-z][a-z0-9]*)$`)
	kinds       = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)
	names       = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9._:@]{0,251}[A-Za-z0-9])?$`)
)

func lynq() template.FuncMap {
	return template.FuncMap{
		"trunc63": func(s string) string {
			if len(s) > 63 {
				return s[:63]
			}
			return s
		},
		"sha1sum": func(s string) string { h := sha1.Sum([]byte(s)); return hex.EncodeToString(h[:]) },
		"toHost": func(s string) string {
			if u, err := url.Parse(s); err == nil && u.Host != "" {
				return u.Hostname()
			}
			return strings.SplitN(s, ":", 2)[0]
		},
	}
}

func (l *leaf) compile(base *template.Template) {
	if strings.Contains(l.Template, "{{") {
		t := template.Must(base.Clone()).New("leaf").Option("missingkey=error")
		l.compiled = template.Must(t.Parse(l.Template))
	}
}

func (p *plan) compile(base *template.Template) {
	if p.Leaf != nil {
		p.Leaf.compile(base)
	}
	for i := range p.Map {
		p.Map[i].Plan.compile(base)
	}
	for i := range p.List {
		p.List[i].compile(base)
	}
}

func (f *form) compile() {
	base := template.New("base").Funcs(sprig.TxtFuncMap()).Funcs(lynq())
	for i := range f.Resources {
		r := &f.Resources[i]
		for _, l := range []*leaf{r.APIVersion, r.Kind, r.Name} {
			l.compile(base)
		}
		for _, n := range append(append([]named{}, r.Labels...), r.Annotations...) {
			n.Leaf.compile(base)
		}
		r.Body.compile(base)
	}
}

func (l *leaf) text(vars map[string]any) string {
	if l.compiled == nil {
		return l.Template
	}
	var b strings.Builder
	if err := l.compiled.Execute(&b, vars); err != nil {
		log.Fatal(err)
	}
	return b.String()
}

func (l *leaf) value(vars map[string]any) any {
	text := l.text(vars)
	switch l.Type {
	case "string":
		return text
	case "integer":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			log.Fatal(err)
		}
		return n
	}
	log.Fatalf("a leaf of type %s is not known here", l.Type)
	return nil
}

func (p *plan) value(vars map[string]any) any {
	switch {
	case p.Leaf != nil:
		return p.Leaf.value(vars)
	case p.Map != nil:
		made := make(map[string]any, len(p.Map))
		for i := range p.Map {
			made[p.Map[i].Key] = p.Map[i].Plan.value(vars)
		}
		return made
	case p.List != nil:
		made := make([]any, len(p.List))
		for i := range p.List {
			made[i] = p.List[i].value(vars)
		}
		return made
	}
	return p.Constant
}

func legal(l *leaf, vars map[string]any, pattern *regexp.Regexp) string {
	text := l.text(vars)
	if !pattern.MatchString(text) {
		log.Fatalf("%q does not match %s", text, pattern)
	}
	return text
}

func hash(value any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		log.Fatal(err)
	}
	sum := sha256.Sum256(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	return hex.EncodeToString(sum[:])[:16]
}

func (r *resource) render(f *form, of row) object {
	kind := legal(r.Kind, of.Vars, kinds)
	labels := map[string]any{"lynq.sh/node": of.Node, "lynq.sh/node-namespace": f.Namespace, "lynq.sh/shard": of.Shard}
	for _, n := range r.Labels {
		labels[n.Key] = n.Leaf.text(of.Vars)
	}
	annotations := map[string]any{"lynq.sh/deletion-policy": r.DeletionPolicy}
	for _, n := range r.Annotations {
		annotations[n.Key] = n.Leaf.text(of.Vars)
	}
	manifest := map[string]any{
		"apiVersion": legal(r.APIVersion, of.Vars, apiVersions),
		"kind":       kind,
		"metadata": map[string]any{
			"name":        legal(r.Name, of.Vars, names),
			"namespace":   f.Namespace,
			"labels":      labels,
			"annotations": annotations,
			"ownerReferences": []any{map[string]any{
				"apiVersion": "operator.lynq.sh/v1", "kind": "LynqNode", "name": of.Node, "uid": of.UID,
				"controller": true, "blockOwnerDeletion": true,
			}},
		},
	}
	for _, part := range r.Body.Map {
		manifest[part.Key] = part.Plan.value(of.Vars)
	}
	if spec, ok := manifest["spec"].(map[string]any); ok && kind == "Deployment" {
		annotations["lynq.sh/pod-template-hash"] = hash(spec["template"])
	}
	return object{r.ID, manifest, hash(manifest)}
}

func (f *form) render(of row) []object {
	made := make([]object, 0, len(f.Resources))
	for i := range f.Resources {
		made = append(made, f.Resources[i].render(f, of))
	}
	return made
}

func reply(out *bufio.Writer, value any) {
	if err := json.NewEncoder(out).Encode(value); err != nil {
		log.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

func main() {
	in := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<16))
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	var f form
	if err := in.Decode(&f); err != nil {
		log.Fatal(err)
	}
	f.compile()
	reply(out, fmt.Sprintf("%s, %d P", runtime.Version(), runtime.GOMAXPROCS(0)))
	for {
		var r round
		if err := in.Decode(&r); err == io.EOF {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		reply(out, f.round(r))
	}
}

func (f *form) round(r round) answer {
	var a answer
	for _, of := range r.Rows {
		start := time.Now()
		made := f.render(of)
		a.TookNs = append(a.TookNs, time.Since(start).Nanoseconds())
		hashes := make([]string, len(made))
		for i, o := range made {
			hashes[i] = o.Hash
		}
		a.Hashes = append(a.Hashes, hashes)
		if r.Objects {
			a.Objects = append(a.Objects, made)
		}
	}
	return a
}
