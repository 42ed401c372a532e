"""What is no schema of our subset, how schemas are extended, and the rules that come with the package."""

from __future__ import annotations

import re

import pytest

from myclerk_drivers.base import Access
from myclerk_protocol.kem.base import CIPHERTEXT_SIZE, ENCAPSULATION_KEY_SIZE
from myclerk_protocol.operations import ANSWER_OPCODES, REGISTRY
from myclerk_protocol.schema import MapType, Schema, SchemaError
from myclerk_protocol.schema.shapes import Literals, Octets
from myclerk_protocol.signatures import ED448_SIGNATURE_SIZE, MLDSA65_PUBLIC_SIZE, MLDSA65_SIGNATURE_SIZE
from myclerk_protocol.status import LocalError, Status

# -- what is refused at load -------------------------------------------------------------------------------

OUTSIDE = {
    "an unknown name": ("m = { a: uinteger }", "there is no rule uinteger"),
    "a prelude name that is not used here": ("m = { a: tdate }", "there is no rule tdate"),
    "an unknown group": ("m = { common }", "there is no rule common"),
    "a group as a type": ("g = ( a: uint )\nm = { b: g }", "g is a group"),
    "a type as a group": ("g = { a: uint }\nm = { g }", "g is a type"),
    "a rule that contains itself": ("m = { ? a: m }", "m contains itself"),
    "rules that contain each other": ("m = { ? a: [* n] }\nn = { ? b: m }", "m contains itself"),
    "a group that contains itself": ("m = { a: uint, m2 }\nm2 = ( b: uint, m2 )", "m2 contains itself"),
    "a second rule of a name": ("m = { a: uint }\nm = { b: uint }", "has a rule of this name already"),
    "a name of the prelude": ("m = { a: uint }\nuint = 5", "belongs to the prelude"),
    "a key twice": ("m = { a: uint, ? a: tstr }", "the key a is there twice"),
    "a key twice by a group": ("g = ( a: uint )\nm = { a: uint, g }", "the key a is there twice"),
    "two keys of one Python name": ("m = { a-b: uint, a_b: tstr }", "the key a_b is there twice"),
    "an empty range": ("m = { a: 5..1 }", "the range 5..1 is empty"),
    "a range of an integer and a float": ("m = { a: 0..1.5 }", "two integers or two floats"),
    "a range of texts": ('m = { a: "a".."b" }', "two integers or two floats"),
    "a range of names": ("m = { a: low..high }\nlow = 1\nhigh = 2", "between two numbers"),
    "a range without its upper end": ("m = { a: 0...5 }", "..."),
    "integers that MessagePack lacks": ("m = { a: 0..18446744073709551616 }", "from -2^63 to 2^64-1"),
    "a control that nothing satisfies": ("m = { a: uint .lt 0 }", "no integer satisfies"),
    "a size of an int": ("m = { a: int .size 2 }", "`int .size 2` is not in the subset"),
    "a size of 9 bytes of an uint": ("m = { a: uint .size 9 }", "`uint .size 9` is not in the subset"),
    "a size of a size": ("s = bstr .size 3\nm = { a: s .size 2 }", "`s .size 2` is not in the subset"),
    "a bound of text": ("m = { a: tstr .le 5 }", "`tstr .le 5` is not in the subset"),
    "a bound of a choice": ("m = { a: (uint / tstr) .le 5 }", "`(uint / tstr) .le 5` is not in the subset"),
    "another control": ('m = { a: tstr .regexp "a*" }', "is not in the subset"),
    "two controls": ("m = { a: uint .ge 1 .le 5 }", "a type has one control"),
    "a choice of groups": ("m = { a: uint // b: tstr }", "not //"),
    "more options for a rule": ("m /= uint", "= is needed here, not /="),
    "more members for a group": ("g //= ( a: uint )", "= is needed here, not //="),
    "a generic rule": ("m<t> = { a: t }", "= is needed here, not <"),
    "a socket": ("m = { a: $x }", "$ is not in the subset"),
    "a tag": ("m = { a: #6.1(uint) }", "# is not in the subset"),
    "unwrapping": ("m = { a: ~n }\nn = uint", "~ is not in the subset"),
    "a cut": ('m = { "a" ^ => uint }', ": is needed here, not ^"),
    "a group as an enumeration": ("m = { a: &g }\ng = ( b: 1 )", "( is needed here, not g"),
    "an enumeration of floats": ("m = { a: &( b: 1.5 ) }", "is an integer or text"),
    "bytes": ("m = { a: h'00' }", "not '"),
    "text with an escape": ('m = { a: "\\n" }', '" is not in the subset'),
    "text without its end": ('m = { a: "b }', '" is not in the subset'),
    "any number of one key": ("m = { + a: uint }", "a name is needed here, not +"),
    "some number of one key": ("m = { 2*3 a: uint }", "a name is needed here, not 2"),
    "further keys that are no text": ("m = { * uint => any }", "only `* tstr => type`"),
    "a type as a key": ("m = { tstr => any }", "not =>"),
    "a group in place": ("m = { ( a: uint ) }", "a name is needed here, not ("),
    "an optional group": ("m = { ? g }\ng = ( a: uint )", ": is needed here, not }"),
    "a key in an array": ("m = { a: [b: uint] }", "a comma or ] is needed here, not :"),
    "a repeated type among others": ("m = { a: [* uint, tstr] }", "either one repeated type"),
    "a repeated type behind another": ("m = { a: [uint, * tstr] }", "* is not in the subset"),
    "impossibly many items": ("m = { a: [3*2 uint] }", "3*2 items are impossible"),
    "half an item": ("m = { a: [1.5* uint] }", "non-negative integer"),
    "a map without its end": ("m = { a: uint", "the end of the text"),
    "a map without commas": ("m = { a: uint b: uint }", "a comma or } is needed here, not b"),
    "a rule without a body": ("m =", "the end of the text is not in the subset"),
    "a group without its end": ("m = (", "the end of the text is not in the subset"),
    "something behind the rules": ("m = { a: uint } }", "a name is needed here, not }"),
    "a rule without a name": ("= uint", "a name is needed here, not ="),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_outside_of_the_subset_is_an_error_at_load(name: str) -> None:
    text, problem = OUTSIDE[name]
    with pytest.raises(SchemaError, match=re.escape(problem)):
        Schema({"test.cddl": text})


def test_an_error_names_file_line_and_rule() -> None:
    text = "; one\nfine = uint\nm = {\n  a: uint,  ; four\n  b: unknown\n}\n"
    with pytest.raises(SchemaError) as caught:
        Schema({"fine.cddl": "x = uint", "test.cddl": text})
    assert str(caught.value) == "test.cddl, line 5, rule m: there is no rule unknown"


def test_a_syntax_error_names_file_line_and_rule() -> None:
    with pytest.raises(SchemaError, match=r"^test.cddl, line 3, rule m: "):
        Schema({"test.cddl": "fine = uint\nm = {\n  a: uint //\n b: uint }"})


def test_an_error_behind_a_reference_names_the_rule_that_has_it() -> None:
    with pytest.raises(SchemaError, match=r"^test.cddl, line 2, rule n: there is no rule o"):
        Schema({"test.cddl": "m = { a: n, b: uint }\nn = [* o]"})


def test_a_schema_error_is_a_local_error() -> None:
    assert issubclass(SchemaError, LocalError)


# -- finding rules, extending ------------------------------------------------------------------------------

VENDOR = "vendor-blink-request = { resource: resource-name, ? for: seconds }\nvendor-blink-response = {}"


def test_the_bundled_schema_is_loaded_once() -> None:
    assert Schema.load() is Schema.load()


def test_a_driver_brings_its_own_rules() -> None:
    base = Schema.load()
    extended = base.extended(VENDOR, "vendor.cddl")
    request = extended.request("VENDOR_BLINK")
    assert request is not None
    assert request.decode(request.encode({"resource": "x:1", "for": 1.5})) == {"resource": "x:1", "for": 1.5}
    assert extended.source("VENDOR_BLINK") == "vendor.cddl"
    assert extended.push("VENDOR_BLINK") is None
    assert VENDOR in extended.text
    assert base.text in extended.text.replace(f"\n{VENDOR}", "")
    assert extended.request("SERIAL_PORT_OPEN") is not None
    assert base.request("VENDOR_BLINK") is None


def test_several_drivers_bring_their_own_rules() -> None:
    extended = Schema.load().extended("a-request = {}", "a.cddl").extended("b-request = {}", "b.cddl")
    assert (extended.source("A"), extended.source("B")) == ("a.cddl", "b.cddl")


def test_an_extension_cannot_replace_a_rule_or_a_file() -> None:
    with pytest.raises(SchemaError, match=r"rule serial-port: serial\.cddl has a rule of this name already"):
        Schema.load().extended("serial-port = uint")
    with pytest.raises(SchemaError, match=r"has a serial\.cddl already"):
        Schema.load().extended(VENDOR, "serial.cddl")


def test_rules_are_found_by_operation() -> None:
    schema = Schema.load()
    assert schema.request("SERIAL_PORT_OPEN") is schema.map("serial-port-open-request")
    assert schema.response("SERIAL_PORT_OPEN") is schema.map("serial-port-open-response")
    assert schema.push("STREAM_DATA") is schema.map("stream-data-push")
    assert schema.push("STREAM_START") is None
    assert schema.request("GPIO_EVENT") is None
    assert schema.response("NO_SUCH_THING") is None
    assert schema.source("STREAM_DATA") == "stream.cddl"
    assert schema.source("SERIAL_BREAK") == "serial.cddl"


def test_what_is_not_there_is_a_local_error() -> None:
    with pytest.raises(LocalError, match="no map named seconds"):
        Schema.load().map("seconds")
    with pytest.raises(LocalError, match="no map named nothing"):
        Schema.load().map("nothing")
    with pytest.raises(LocalError, match="no rules for NO_SUCH_THING"):
        Schema.load().source("NO_SUCH_THING")


# -- the rules of the package ------------------------------------------------------------------------------


def literal_names(name: str) -> dict[str, object]:
    shape = Schema.load().shapes[name]
    assert isinstance(shape, Literals)
    return dict(zip(shape.names, shape.values, strict=True))


def test_every_payload_rule_belongs_to_an_operation() -> None:
    for name in Schema.load().maps:
        operation, _, role = name.rpartition("-")
        if role in ("request", "response", "push"):
            code = REGISTRY.by_name(operation.upper().replace("-", "_")).code
            assert code not in ANSWER_OPCODES, name


def test_every_request_has_a_response() -> None:
    names = {name.removesuffix("-request") for name in Schema.load().maps if name.endswith("-request")}
    without = {name for name in names if f"{name}-response" not in Schema.load().maps}
    assert without == {"key-exchange-complete"}  # sent with Request ID 0, never answered


def test_every_serial_operation_has_rules() -> None:
    operations = [operation for operation in REGISTRY if operation.family == "serial"]
    assert len(operations) == 9
    for operation in operations:
        assert Schema.load().request(operation.name) is not None
        assert Schema.load().response(operation.name) is not None


def test_statuses_and_access_modes_are_those_of_the_code() -> None:
    statuses = {status.name.lower().replace("_", "-"): int(status) for status in Status}
    assert literal_names("status-code") == statuses
    assert literal_names("access-mode") == {a.name.lower().replace("_", "-"): int(a) for a in Access}


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("ed448-signature", ED448_SIGNATURE_SIZE),
        ("mldsa65-key", MLDSA65_PUBLIC_SIZE),
        ("mldsa65-signature", MLDSA65_SIGNATURE_SIZE),
        ("mlkem-key", ENCAPSULATION_KEY_SIZE),
        ("mlkem-secret", CIPHERTEXT_SIZE),
        ("x25519-key", 32),
        ("ticket-data", 64),
        ("ticket-tag-data", 16),
    ],
)
def test_lengths_are_those_of_the_cryptography(name: str, size: int) -> None:
    assert Schema.load().shapes[name] == Octets(size, size)


def test_an_error_map_holds_every_detail_that_errors_carry() -> None:
    names = {field.name for field in Schema.load().map("error").fields}
    assert names == {
        "status", "message", "key", "required_tier", "errno", "holder", "executed", "written", "sent", "administrator"
    }  # fmt: skip


def test_no_rule_has_the_name_of_a_key() -> None:
    """Some CDDL tools take such a key for the type of that name."""
    schema = Schema.load()
    keys = {field.wire for shape in schema.maps.values() for field in shape.fields}
    assert not keys & schema.shapes.keys()


def test_every_rule_of_the_package_is_used_or_is_a_payload() -> None:
    schema = Schema.load()
    plain = re.sub(r";.*", "", schema.text)
    documented = {
        "agent-proof",
        "resume-proof",
        "batch-error",
        "error",
        "status-code",
        "serial-control-event",
        "can-frames-event",
        "hid-report",
        "device-event",
        "gsm-sms-event",
        "gsm-call-event",
        "usb-interrupt-event",
        "usb-isochronous-event",
    }
    for name, shape in schema.shapes.items():
        payload = isinstance(shape, MapType) and name.rpartition("-")[2] in ("request", "response", "push")
        uses = len(re.findall(rf"(?<![\w-]){name}(?![\w-])(?!\s*[=:])", plain))
        assert payload or uses or name in documented, f"{name} is never used"
