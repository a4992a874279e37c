// Command conditions says which webhooks kube-apiserver would call, by its own code: the rules matcher and the CEL
// environment of match conditions.
//
//	conditions webhook.yaml < reviews.jsonl > called.jsonl
//
// Reviews are AdmissionReviews, one a line. Each is answered with one line: {"called": [names], "denied": [names],
// "errors": {name: text}}: webhooks that are called, ValidatingAdmissionPolicies that deny. A condition that errors counts
// neither as a call nor as a skip; under failurePolicy Fail it refuses the request.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	admissionv1 "k8s.io/api/admission/v1"
	registration "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"
)

type answer struct {
	Called []string          `json:"called"`
	Denied []string          `json:"denied"`
	Errors map[string]string `json:"errors"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "conditions:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("one argument, the file of the webhook configurations")
	}
	compiler := cel.NewConditionCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	hooks, policies, err := read(os.Args[1], compiler)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for number := 1; lines.Scan(); number++ {
		var review admissionv1.AdmissionReview
		if err := json.Unmarshal(lines.Bytes(), &review); err != nil || review.Request == nil {
			return fmt.Errorf("line %d is no AdmissionReview: %w", number, err)
		}
		attributes, err := attributesOf(review.Request)
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if err := json.NewEncoder(out).Encode(ask(hooks, policies, compiler, attributes)); err != nil {
			return err
		}
	}
	return lines.Err()
}

// read also compiles every condition: under failurePolicy Ignore a broken one would only look like a skip.
func read(file string, compiler cel.ConditionCompiler) ([]webhook.WebhookAccessor, []policy, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	var hooks []webhook.WebhookAccessor
	var policies []policy
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var document unstructured.Unstructured
		if err := documents.Decode(&document.Object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, err
		}
		found, err := accessors(&document)
		if err != nil {
			return nil, nil, err
		}
		hooks = append(hooks, found...)
		if document.GetKind() == "ValidatingAdmissionPolicy" {
			found, err := policyOf(&document, compiler)
			if err != nil {
				return nil, nil, err
			}
			policies = append(policies, found)
		}
	}
	for _, hook := range hooks {
		expressions := make([]cel.ExpressionAccessor, 0, len(hook.GetMatchConditions()))
		for _, condition := range hook.GetMatchConditions() {
			condition := matchconditions.MatchCondition(condition)
			expressions = append(expressions, &condition)
		}
		declared := cel.OptionalVariableDeclarations{HasAuthorizer: true}
		compiled := compiler.CompileCondition(expressions, declared, environment.NewExpressions)
		if broken := compiled.CompilationErrors(); len(broken) > 0 {
			return nil, nil, fmt.Errorf("%s: %w", hook.GetName(), errors.Join(broken...))
		}
	}
	if len(hooks) == 0 && len(policies) == 0 {
		return nil, nil, fmt.Errorf("%s holds neither webhook nor policy", file)
	}
	return hooks, policies, nil
}

func accessors(document *unstructured.Unstructured) ([]webhook.WebhookAccessor, error) {
	var hooks []webhook.WebhookAccessor
	convert := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation
	switch document.GetKind() {
	case "MutatingWebhookConfiguration":
		var configuration registration.MutatingWebhookConfiguration
		if err := convert(document.Object, &configuration, true); err != nil {
			return nil, err
		}
		for i := range configuration.Webhooks {
			hooks = append(hooks, webhook.NewMutatingWebhookAccessor("", configuration.Name, &configuration.Webhooks[i]))
		}
	case "ValidatingWebhookConfiguration":
		var configuration registration.ValidatingWebhookConfiguration
		if err := convert(document.Object, &configuration, true); err != nil {
			return nil, err
		}
		for i := range configuration.Webhooks {
			hooks = append(hooks, webhook.NewValidatingWebhookAccessor("", configuration.Name, &configuration.Webhooks[i]))
		}
	}
	return hooks, nil
}

func attributesOf(request *admissionv1.AdmissionRequest) (*admission.VersionedAttributes, error) {
	object, err := objectOf(request.Object)
	if err != nil {
		return nil, err
	}
	oldObject, err := objectOf(request.OldObject)
	if err != nil {
		return nil, err
	}
	extra := map[string][]string{}
	for key, values := range request.UserInfo.Extra {
		extra[key] = values
	}
	kind := schema.GroupVersionKind(request.Kind)
	attributes := admission.NewAttributesRecord(
		object, oldObject, kind, request.Namespace, request.Name, schema.GroupVersionResource(request.Resource),
		request.SubResource, admission.Operation(request.Operation), nil, request.DryRun != nil && *request.DryRun,
		&user.DefaultInfo{Name: request.UserInfo.Username, UID: request.UserInfo.UID, Groups: request.UserInfo.Groups, Extra: extra},
	)
	return &admission.VersionedAttributes{
		Attributes: attributes, VersionedKind: kind, VersionedObject: object, VersionedOldObject: oldObject,
	}, nil
}

// objectOf returns a nil interface where there is no object, as the API server has it.
func objectOf(raw runtime.RawExtension) (runtime.Object, error) {
	if len(raw.Raw) == 0 || string(raw.Raw) == "null" {
		return nil, nil
	}
	var object map[string]interface{}
	if err := json.Unmarshal(raw.Raw, &object); err != nil {
		return nil, err
	}
	return &unstructured.Unstructured{Object: object}, nil
}

func ask(hooks []webhook.WebhookAccessor, policies []policy, compiler cel.ConditionCompiler, attributes *admission.VersionedAttributes) answer {
	said := answer{Called: []string{}, Denied: []string{}, Errors: map[string]string{}}
	if rules.IsExemptAdmissionConfigurationResource(attributes) {
		return said
	}
	for _, hook := range hooks {
		matches := false
		for _, rule := range hook.GetRules() {
			matcher := rules.Matcher{Rule: rule, Attr: attributes}
			matches = matches || matcher.Matches()
		}
		if !matches {
			continue
		}
		result := hook.GetCompiledMatcher(compiler).Match(context.Background(), attributes, nil, nil)
		switch {
		case result.Error != nil:
			said.Errors[hook.GetName()] = result.Error.Error()
		case result.Matches:
			said.Called = append(said.Called, hook.GetName())
		}
	}
	for _, policy := range policies {
		denies, err := policy.denies(attributes)
		if err != nil {
			said.Errors[policy.name] = err.Error()
		} else if denies {
			said.Denied = append(said.Denied, policy.name)
		}
	}
	return said
}
