"""Published vectors of Noise XK and XKpsk3 over 25519, ChaChaPoly and SHA256 (the cacophony set), as data."""

VECTORS = [
    {
        "protocol": "Noise_XK_25519_ChaChaPoly_SHA256",
        "init_prologue": "4a6f686e2047616c74",
        "init_static": "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
        "init_ephemeral": "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
        "init_remote_static": "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62",
        "resp_static": "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
        "resp_ephemeral": "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
        "handshake_hash": "cefffc5d1074126cc980ebfe902587ff36ba61dc77d4447ebe0f96dc22ae59d7",
        "psk": "",
        "messages": [
            (
                "4c756477696720766f6e204d69736573",
                "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944a3785af283c991bab613473804356ef6931f83acf64f99c274b93570857cfc5e",
            ),
            (
                "4d757272617920526f746862617264",
                "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088433a4534805fa9fe4eb8343ace6609160c767ad9b832e8eea1d9b7a2111818dd",
            ),
            (
                "462e20412e20486179656b",
                "5d8e67b9c1b8e36f5dc674bc5cd2ce243fb5d1710fa57de0370da7cc979015398eaad94603b05498ba9a613d2fd923dcaa6fd4288dfd8d70f419bf737efb4cd37f5da37ebb728849318c82",
            ),
            ("4361726c204d656e676572", "3205e1265f809505e6edc092839d3156745d2abafbfd946b261e41"),
            (
                "4a65616e2d426170746973746520536179",
                "470bcb1ae099555ff0d729500df550418d6ee5149d9e40bd2f4c6b3d263cc818d5",
            ),
            (
                "457567656e2042f6686d20766f6e2042617765726b",
                "d7187ed9d217ba6e91cf596e4871012ccedf7b5bed0d4cb8f7affb020fa17a95a23371e0f6",
            ),
        ],
    },
    {
        "protocol": "Noise_XKpsk3_25519_ChaChaPoly_SHA256",
        "init_prologue": "4a6f686e2047616c74",
        "init_static": "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
        "init_ephemeral": "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
        "init_remote_static": "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62",
        "resp_static": "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
        "resp_ephemeral": "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
        "handshake_hash": "2474cc7525e37a139f3f2d82cefa382b6844f36a8c179c3c057bc2b8bc171454",
        "psk": "54686973206973206d7920417573747269616e20706572737065637469766521",
        "messages": [
            (
                "4c756477696720766f6e204d69736573",
                "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944aca3ea34785c66af6434ba8f3dab19e712ff67a31bd13557517309fc09a510a9",
            ),
            (
                "4d757272617920526f746862617264",
                "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f14480884330ae3686f5afe73385a0a6430723306d35b21256240033263dc4050e154e7f",
            ),
            (
                "462e20412e20486179656b",
                "1b33e3523e2d3c4cd6bb605131932646aa01f18e22ee6543877d3f16967f4593bd2ca855b17d09782a6d56bdc3eedae57e8015be06a0bcfb5c9ac4e768459601d9162e731f9fc8117a2b22",
            ),
            ("4361726c204d656e676572", "1eae06397036f6d40337d43b0f49cfe2b2093a2c2e14c804b5fe7a"),
            (
                "4a65616e2d426170746973746520536179",
                "b4aafd07a4cebcc8b913a243a145db81dc029b57f9e8676eb78cf0b3f9cdcaf240",
            ),
            (
                "457567656e2042f6686d20766f6e2042617765726b",
                "1d36724066ad1c685e1e245a29cffac296d1a97f6393d3dddbed940e04c348f9b4cd45266b",
            ),
        ],
    },
]
