"""How many distinct mocks each pool can give, per locale, at most: the planner's N, pinned by a test against the pools."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

POOL_SIZES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "mock.first_name": {
            "en_US": 690, "en_GB": 364, "de_DE": 2_002,
            "fr_FR": 215, "es_ES": 934, "it_IT": 458,
            "nl_NL": 499, "sv_SE": 991, "da_DK": 495,
            "fi_FI": 398,
        },
        "mock.last_name": {
            "en_US": 1_000, "en_GB": 500, "de_DE": 404,
            "fr_FR": 400, "es_ES": 1_085, "it_IT": 1_164,
            "nl_NL": 1_073, "sv_SE": 500, "da_DK": 91,
            "fi_FI": 400,
        },
        "mock.full_name": {
            "en_US": 690_000, "en_GB": 182_000, "de_DE": 808_808,
            "fr_FR": 86_000, "es_ES": 1_013_390, "it_IT": 533_112,
            "nl_NL": 535_427, "sv_SE": 495_500, "da_DK": 45_045,
            "fi_FI": 159_200,
        },
        "mock.email": {
            "en_US": 20_697_930_000, "en_GB": 5_459_454_000, "de_DE": 23_790_740_688,
            "fr_FR": 2_573_292_645, "es_ES": 28_473_512_364, "it_IT": 15_978_022_038,
            "nl_NL": 15_840_995_742, "sv_SE": 14_639_735_880, "da_DK": 1_351_214_865,
            "fi_FI": 4_775_522_400,
        },
        "mock.phone": {
            "en_US": 70_400, "en_GB": 70_400, "de_DE": 70_400,
            "fr_FR": 70_400, "es_ES": 70_400, "it_IT": 70_400,
            "nl_NL": 70_400, "sv_SE": 70_400, "da_DK": 70_400,
            "fi_FI": 70_400,
        },
        "mock.company": {
            "en_US": 6_000_000, "en_GB": 1_500_000, "de_DE": 2_611_456,
            "fr_FR": 960_000, "es_ES": 12_949_475, "it_IT": 5_419_584,
            "nl_NL": 3_453_987, "sv_SE": 500_000, "da_DK": 16_562,
            "fi_FI": 1_120_000,
        },
        "mock.street": {
            "en_US": 194_805_000, "en_GB": 97_402_500, "de_DE": 2_825_172,
            "fr_FR": 1_598_400, "es_ES": 20_594_385, "it_IT": 12_791_196,
            "nl_NL": 11_791_197, "sv_SE": 134_865, "da_DK": 6_781_212,
            "fi_FI": 1_103_895,
        },
        "mock.city": {
            "en_US": 22_830, "en_GB": 11_548, "de_DE": 392,
            "fr_FR": 430, "es_ES": 52, "it_IT": 16_559,
            "nl_NL": 2_424, "sv_SE": 45, "da_DK": 558,
            "fi_FI": 311,
        },
        "mock.postcode": {
            "en_US": 100_000, "en_GB": 114_720_000, "de_DE": 100_000,
            "fr_FR": 100_000, "es_ES": 100_000, "it_IT": 4_682,
            "nl_NL": 6_084_000, "sv_SE": 90_000, "da_DK": 9_000,
            "fi_FI": 100_000,
        },
    }
)  # fmt: skip
