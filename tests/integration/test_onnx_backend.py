"""ONNX's own tests of its operators, asked through a model node: all agree but those listed with their reason."""

import re
from pathlib import Path

import pytest
from onnx import TensorProto
from onnx.backend.test.case.test_case import TestCase

from tests.integration.onnx_backend_cases import APART, NEWEST_OPSET, as_known, cases, trouble, trouble_together

NO_KERNEL = "Could not find an implementation|Failed to find kernel"
SHARDS = 4

EXCEPTIONS: dict[str, tuple[str, str]] = {
    # why: (what the node says of each, their names)
    "this ONNX Runtime's CPU provider has no kernel for the operator with this type": (
        NO_KERNEL,
        """attention_4d_causal_bf16 attention_4d_causal_bf16_expanded attention_4d_padded_kv_bf16_expanded
        attention_4d_causal_padded_kv_bf16_expanded attention_4d_attn_mask_causal_bf16_expanded
        attention_3d_causal_bf16 attention_3d_causal_bf16_expanded celu_bfloat16_expanded
        bernoulli bernoulli_expanded bernoulli_double bernoulli_double_expanded bernoulli_seed bernoulli_seed_expanded
        bitcast_bool_to_uint8 castlike_FLOAT4E2M1_to_FLOAT castlike_FLOAT4E2M1_to_FLOAT_expanded
        castlike_FLOAT4E2M1_to_FLOAT16 castlike_FLOAT4E2M1_to_FLOAT16_expanded castlike_FLOAT_to_FLOAT4E2M1
        castlike_FLOAT_to_FLOAT4E2M1_expanded castlike_FLOAT16_to_FLOAT4E2M1 castlike_FLOAT16_to_FLOAT4E2M1_expanded
        image_decoder_decode_jpeg_rgb image_decoder_decode_jpeg_grayscale image_decoder_decode_jpeg_bgr
        image_decoder_decode_jpeg2k_rgb image_decoder_decode_bmp_rgb image_decoder_decode_png_rgb
        image_decoder_decode_tiff_rgb image_decoder_decode_webp_rgb image_decoder_decode_pnm_rgb
        max_int16 max_uint16 min_int16 min_uint16 pow_types_float32_uint64 pow_types_float32_uint32
        roialign_aligned_false roialign_aligned_true roialign_mode_max swiglu_expanded swiglu_alpha_expanded
        swiglu_float16_expanded top_k_uint64""",
    ),
    "it expands Attention with bfloat16 into nodes of two types": (
        "bound to different types",
        "attention_4d_padded_kv_bf16 attention_4d_causal_padded_kv_bf16 attention_4d_attn_mask_causal_bf16",
    ),
    "it takes no mask that is shorter than the padded keys": (
        "inconsistent total_sequence_length",
        "attention_4d_diff_heads_mask4d_padded_kv",
    ),
    "it gives the lowest number for a masked place, and ONNX minus infinity": (
        r"-3\.4028234663852886e\+38",
        """attention_4d_with_past_and_present_qk_matmul_bias_3d_mask_causal
        attention_4d_with_past_and_present_qk_matmul_bias_4d_mask_causal""",
    ),
    "it knows no Attention with a local window": (
        "Unrecognized attribute: left_window_size",
        """attention_local_window attention_bidirectional_window attention_local_window_default
        attention_local_window_rank1_boolean_mask attention_local_window_with_past
        attention_local_window_ext_cache_rank3_head_mask attention_local_window_ext_cache_rank4_batch_mask
        attention_local_window_ext_cache_rank2_mask attention_local_window_ext_cache_float16_mask
        attention_3d_local_window attention_local_window_gqa_rank4_mask""",
    ),
    "it has one zero point for all of the weights": ("Non per-tensor quantization", "convinteger_with_padding"),
    "it draws other random numbers": (
        "gave",
        "training_dropout_default training_dropout_default_mask training_dropout training_dropout_mask",
    ),
    "operators of training and of a preview are not part of it": (
        r"ai\.onnx\.preview.* is not a registered function/op",
        """adagrad adagrad_multiple adam adam_multiple momentum nesterov_momentum momentum_multiple
        flexattention flexattention_scaled flexattention_gqa flexattention_diff_head_sizes flexattention_score_mod
        flexattention_prob_mod flexattention_fp16 flexattention_double flexattention_causal_mask
        flexattention_soft_cap flexattention_relative_positional""",
    ),
    "it has no recurrent operators whose first axis is the batch": (
        "Batchwise recurrent operations",
        "gru_batchwise lstm_batchwise simple_rnn_batchwise",
    ),
    "it reads the places of a MaxUnpool as those of the smallest output": (
        "gave",
        "maxunpool_export_with_output_shape",
    ),
    "it takes no maximum of no truth values": ("ReduceMax is not defined for empty set", "reduce_max_empty_set_bool"),
    "it aligns the corners with the size of the output, and ONNX with the scale": (
        "gave",
        "resize_downsample_scales_linear_align_corners resize_downsample_scales_cubic_align_corners",
    ),
}

NEEDS_A_LOCALE = frozenset(  # en_US.UTF-8, which a machine has or has not
    f"test_strnormalizer_export_monday_{which}"
    for which in ("casesensintive_lower", "casesensintive_upper", "empty_output", "insensintive_upper_twodim")
)

_NARROW = {TensorProto.INT4, TensorProto.UINT4, TensorProto.INT2, TensorProto.UINT2}
_EXCEPTED = {f"test_{name}": says for says, names in EXCEPTIONS.values() for name in names.split()}


def expected_trouble(case: TestCase) -> str | None:
    """What is said of a case that does not work, and why it is known not to; None of one that must."""
    assert case.model is not None
    if any(opset.domain == "" and opset.version > NEWEST_OPSET for opset in as_known(case.model).opset_import):
        return "Unsupported model IR version|under development"  # an operator that changed after what it knows
    if any(given.type.tensor_type.elem_type in _NARROW for given in case.model.graph.input):
        return "which pipelines cannot feed"  # Python has no way to give ONNX Runtime integers of 2 and 4 bits
    return _EXCEPTED.get(case.name)


@pytest.fixture(name="all_cases", scope="module")
def _all_cases() -> list[TestCase]:
    return cases()


@pytest.mark.parametrize("shard", range(SHARDS))
async def test_onnx_agrees(all_cases: list[TestCase], tmp_path: Path, shard: int) -> None:
    """Every operator that this ONNX Runtime has gives through a model node what ONNX says that it gives."""
    wrong = []
    for case in all_cases[shard::SHARDS]:
        said = await trouble(case, tmp_path)
        known = expected_trouble(case)
        if known is None and said is not None and case.name not in NEEDS_A_LOCALE:
            wrong.append(f"{case.name}: {said}")
        if known is not None and said is None:
            wrong.append(f"{case.name} works now: take it off the list")
        if known is not None and said is not None and not re.search(known, said):
            wrong.append(f"{case.name}, listed because of {known!r}: {said}")
    assert not wrong, "\n".join(wrong)


async def test_messages_together_get_what_each_would_get(all_cases: list[TestCase], tmp_path: Path) -> None:
    """Of every tenth case, made free of its number of rows: two messages in one call both get what ONNX says."""
    some = [case for case in all_cases if expected_trouble(case) is None and case.name not in NEEDS_A_LOCALE][::10]
    said = {case.name: await trouble_together(case, tmp_path) for case in some}
    assert {name: text for name, text in said.items() if text not in {None, APART}} == {}
    assert list(said.values()).count(None) >= 40


def test_every_exception_is_a_case(all_cases: list[TestCase]) -> None:
    """The list names nothing that is not there."""
    assert NEEDS_A_LOCALE.union(_EXCEPTED).issubset(case.name for case in all_cases)
    assert len(all_cases) > 1800


def test_most_cases_are_no_exceptions(all_cases: list[TestCase]) -> None:
    """Four of five agree, so that the list cannot come to hold everything."""
    agreeing = [case for case in all_cases if expected_trouble(case) is None]
    assert len(agreeing) >= 1500
