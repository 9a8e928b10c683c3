"""A package as somebody else would write it: one entity, two tiny systems. Not a line of DataWald is edited for it."""

from setuptools import setup

setup(
    name="datawald-coupons",
    version="1.0",
    packages=["datawald_coupons"],
    entry_points={
        "datawald.entities": ["coupon = datawald_coupons.coupon:ENTITY"],
        "datawald.agents": [
            "paper_shop = datawald_coupons.paper:PaperShop",
            "paper_books = datawald_coupons.paper:PaperBooks",
            "b1_blind = datawald_coupons.blind:BlindB1Agency",
        ],
        "datawald.mappings": [
            "paper_shop.coupon = datawald_coupons.paper:CouponSource",
            "paper_books.coupon = datawald_coupons.paper:CouponTarget",
        ],
    },
)
