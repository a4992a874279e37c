package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/util"
)

// timeMax bounds one evaluation.
const timeMax = 10 * time.Second

type question struct {
	Modules      map[string]string `json:"modules"`
	Entries      []string          `json:"entries"`
	Data         json.RawMessage   `json:"data"`
	Inputs       []json.RawMessage `json:"inputs"`
	InputTerm    string            `json:"input_term"`
	Experimental bool              `json:"experimental"`
	Show         bool              `json:"show"`
}

type said struct {
	Error    string            `json:"error,omitempty"`
	Code     string            `json:"code,omitempty"`
	Answers  [][]answer        `json:"answers,omitempty"`
	Compiled map[string]string `json:"compiled,omitempty"`
}

type answer struct {
	Value  *any     `json:"value,omitempty"`
	Error  string   `json:"error,omitempty"`
	Code   string   `json:"code,omitempty"`
	Failed []string `json:"failed,omitempty"`
	Passed []string `json:"passed,omitempty"`
}

func ask(asked *question) (told said) {
	defer func() {
		if panicked := recover(); panicked != nil {
			told = said{Error: fmt.Sprint("panicked: ", panicked), Code: "panic"}
		}
	}()
	compiler, err := compile(asked)
	if err != nil {
		return said{Error: err.Error(), Code: code(err)}
	}
	if asked.Show {
		told.Compiled = map[string]string{}
		for name, module := range compiler.Modules {
			told.Compiled[name] = module.String()
		}
	}
	queries := make([]ast.Body, len(asked.Entries))
	for at, entry := range asked.Entries {
		body, err := ast.ParseBodyWithOpts("answer = "+entry, ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err == nil {
			queries[at], err = compiler.QueryCompiler().Compile(body)
		}
		if err != nil {
			return said{Error: err.Error(), Code: code(err)}
		}
	}
	store, err := storeOf(asked.Data)
	if err != nil {
		return said{Error: err.Error(), Code: "data"}
	}
	inputs, err := inputsOf(asked)
	if err != nil {
		return said{Error: err.Error(), Code: "input"}
	}
	for _, input := range inputs {
		answers := make([]answer, len(queries))
		for at, query := range queries {
			answers[at] = evaluate(compiler, query, store, input)
		}
		told.Answers = append(told.Answers, answers)
	}
	return told
}

func compile(asked *question) (*ast.Compiler, error) {
	options := ast.ParserOptions{RegoVersion: ast.RegoV1}
	if asked.Experimental {
		options.Capabilities = ast.CapabilitiesForThisVersion(ast.CapabilitiesExperimentalKeywords(true))
	}
	return ast.CompileModulesWithOpt(asked.Modules, ast.CompileOpts{ParserOptions: options})
}

func storeOf(data json.RawMessage) (storage.Store, error) {
	if len(data) == 0 || string(data) == "null" {
		return inmem.New(), nil
	}
	var object map[string]any
	if err := util.UnmarshalJSON(data, &object); err != nil {
		return nil, err
	}
	return inmem.NewFromObject(object), nil
}

func inputsOf(asked *question) ([]*ast.Term, error) {
	if asked.InputTerm != "" {
		term, err := ast.ParseTerm(asked.InputTerm)
		return []*ast.Term{term}, err
	}
	inputs := make([]*ast.Term, 0, len(asked.Inputs))
	for _, raw := range asked.Inputs {
		if string(raw) == "null" {
			inputs = append(inputs, nil)
			continue
		}
		var value any
		if err := util.UnmarshalJSON(raw, &value); err != nil {
			return nil, err
		}
		converted, err := ast.InterfaceToValue(value)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, ast.NewTerm(converted))
	}
	return inputs, nil
}

// evaluate asks twice: what an index or an early exit passes over is told too.
func evaluate(compiler *ast.Compiler, query ast.Body, store storage.Store, input *ast.Term) (told answer) {
	var failed, passed []topdown.Error
	_, _ = once(compiler, query, store, input, func(whole *topdown.Query) {
		whole.WithBuiltinErrorList(&passed).WithIndexing(false).WithEarlyExit(false)
	})
	results, err := once(compiler, query, store, input, func(usual *topdown.Query) {
		usual.WithBuiltinErrorList(&failed)
	})
	told.Failed, told.Passed = texts(failed), texts(passed)
	if err != nil {
		told.Error, told.Code = err.Error(), code(err)
		return told
	}
	for _, result := range results {
		value := shown(result[ast.Var("answer")].Value)
		told.Value = &value
	}
	return told
}

func texts(failed []topdown.Error) (all []string) {
	for _, one := range failed {
		all = append(all, one.Error())
	}
	return all
}

func once(
	compiler *ast.Compiler, query ast.Body, store storage.Store, input *ast.Term, with func(*topdown.Query),
) (topdown.QueryResultSet, error) {
	ctx := context.Background()
	cancel := topdown.NewCancel()
	timer := time.AfterFunc(timeMax, cancel.Cancel)
	defer timer.Stop()
	transaction := storage.NewTransactionOrDie(ctx, store)
	defer store.Abort(ctx, transaction)
	asked := topdown.NewQuery(query).
		WithCompiler(compiler).
		WithStore(store).
		WithTransaction(transaction).
		WithInput(input).
		WithCancel(cancel)
	with(asked)
	return asked.Run(ctx)
}

// code is OPA's word for a kind of error.
func code(err error) string {
	var failed *topdown.Error
	if errors.As(err, &failed) {
		return failed.Code
	}
	var refused ast.Errors
	if errors.As(err, &refused) && len(refused) > 0 {
		return refused[0].Code
	}
	return "error"
}

// shown is a value with nothing lost.
func shown(value ast.Value) any {
	switch value := value.(type) {
	case ast.Null:
		return nil
	case ast.Boolean:
		return bool(value)
	case ast.String:
		return string(value)
	case ast.Number:
		return map[string]any{"n": string(value)}
	case *ast.Array:
		items := make([]any, 0, value.Len())
		value.Foreach(func(item *ast.Term) { items = append(items, shown(item.Value)) })
		return items
	case ast.Set:
		items := make([]any, 0, value.Len())
		value.Foreach(func(item *ast.Term) { items = append(items, shown(item.Value)) })
		return map[string]any{"s": items}
	case ast.Object:
		items := make([]any, 0, value.Len())
		value.Foreach(func(key, item *ast.Term) { items = append(items, []any{shown(key.Value), shown(item.Value)}) })
		return map[string]any{"o": items}
	}
	panic(fmt.Sprintf("%T is no value", value))
}
